// SPDX-License-Identifier: Apache-2.0
//
// AddressTable: finds the state that belongs to an object by the object's
// address, for objects that have no slot for it. Internal.
//
// Thread safety: any thread.
//
// Addresses are reused: the next user of an address replaces its state, and
// only the state that is in the table can remove itself. The table owns
// nothing: a state must be removed before it is destroyed.
//
// A state is linked into the table by its own base class AddressTableEntry. So
// nothing is allocated when a state is added. The table grows with the number
// of states: all operations on one address take constant time. It doesn't
// shrink. If there is no memory to grow, it works as it is, with longer chains.
//
// The table has many shards, each with its own lock and cache lines. An address
// has one shard, and a thread uses few addresses, again and again (the stack of
// its client calls, the blocks that its allocator gives it). So threads seldom
// write a cache line that another thread has written.
//
// Invariants:
//  1. A state in the table is in the bucket of its address, and an address has
//     one state at most.
//  2. The address and the link in a state, and all members of a shard, are used
//     under the shard's lock only.
//  3. A shard has no more states than buckets, unless memory has run out or a
//     thread is about to add buckets.
//  4. No other lock is taken, and nothing is allocated or freed, under a
//     shard's lock. It is held for a few instructions; while the shard grows,
//     for some per state in that shard (400 of 100,000). So it spins.

#ifndef TETHER_INTERNAL_ADDRESS_TABLE_H_
#define TETHER_INTERNAL_ADDRESS_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "tether/internal/spin_lock.h"

namespace tether::internal {

template <typename State>
class AddressTable;

// The public base class of a state. A state is in one table at most, under one
// address.
template <typename State>
class AddressTableEntry {
 private:
  friend class AddressTable<State>;
  const void* address_ = nullptr;
  State* next_ = nullptr;
};

template <typename State>
class AddressTable {
 public:
  AddressTable() = default;
  AddressTable(const AddressTable&) = delete;
  AddressTable& operator=(const AddressTable&) = delete;

  // Returns the state that a previous user of the address left, or null. That
  // state is no longer in the table.
  State* Put(const void* address, State* state) noexcept {
    State* previous;
    PutIf(address, state, [&](State* there) {
      previous = there;
      return true;
    });
    return previous;
  }

  // Like Put, but if the address has a state for which `same` returns true,
  // that state stays, and the result is false. `same` is called under a lock,
  // as for Find.
  template <typename Same>
  bool PutUnless(const void* address, State* state, Same same) {
    return PutIf(address, state, [&](const State* there) {
      return there == nullptr || !same(*there);
    });
  }

  // Calls `take` under a lock with the state of `address`, or null, and returns
  // its result. `take` must be short. It must not call other code, allocate, or
  // take a lock.
  template <typename Take>
  auto Find(const void* address, Take take) {
    const uint64_t hash = HashOf(address);
    Shard& shard = ShardOf(hash);
    SpinLockHolder lock(shard.lock);
    return take(*shard.LinkTo(hash, address));
  }

  // Calls `look` with each state, under a lock. The same goes for `look` as for
  // `take`. A state that is put or removed meanwhile may be left out. O(states
  // and buckets).
  template <typename Look>
  void ForEach(Look look) {
    for (Shard& shard : shards_) {
      SpinLockHolder lock(shard.lock);
      for (size_t i = 0; i <= shard.mask; ++i) {
        for (State* state = shard.buckets[i]; state != nullptr;) {
          State* const next = Entry(state).next_;
          look(state);
          state = next;
        }
      }
    }
  }

  // No effect if the address has another state. When this returns, no other
  // thread uses `state` through the table.
  void Remove(const void* address, const State* state) noexcept {
    const uint64_t hash = HashOf(address);
    Shard& shard = ShardOf(hash);
    SpinLockHolder lock(shard.lock);
    State** const link = shard.LinkTo(hash, address);
    if (*link == nullptr || *link != state) return;
    *link = Entry(*link).next_;
    --shard.size;
  }

  // The greatest number of states that Find compares addresses with. For tests.
  size_t LongestChain() {
    size_t longest = 0;
    for (Shard& shard : shards_) {
      SpinLockHolder lock(shard.lock);
      for (size_t i = 0; i <= shard.mask; ++i) {
        size_t length = 0;
        for (State* state = shard.buckets[i]; state != nullptr;
             state = Entry(state).next_) {
          ++length;
        }
        longest = std::max(longest, length);
      }
    }
    return longest;
  }

 private:
  static constexpr int kShardBits = 8;
  static constexpr int kBucketShift = 32;
  static constexpr size_t kFirstBuckets = 8;
  // As many as there are bits of the hash between those two.
  static constexpr size_t kMostBuckets = size_t{1}
                                         << (64 - kShardBits - kBucketShift);

  // Two cache lines, since processors fetch them in pairs.
  struct alignas(128) Shard {
    // The link that points to the state of `address`, or the null link where it
    // would be.
    State** LinkTo(uint64_t hash, const void* address)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
      State** link = &buckets[(hash >> kBucketShift) & mask];
      while (*link != nullptr && Entry(*link).address_ != address) {
        link = &Entry(*link).next_;
      }
      return link;
    }

    SpinLock lock;
    uint32_t size ABSL_GUARDED_BY(lock) = 0;                // states
    size_t mask ABSL_GUARDED_BY(lock) = kFirstBuckets - 1;  // buckets - 1
    State** buckets ABSL_GUARDED_BY(lock) = first;          // or grown
    std::unique_ptr<State*[]> grown ABSL_GUARDED_BY(lock);
    State* first[kFirstBuckets] ABSL_GUARDED_BY(lock) = {};
  };

  static AddressTableEntry<State>& Entry(State* state) { return *state; }

  static uint64_t HashOf(const void* address) {
    return reinterpret_cast<uintptr_t>(address) * uint64_t{0x9E3779B97F4A7C15};
  }

  Shard& ShardOf(uint64_t hash) { return shards_[hash >> (64 - kShardBits)]; }

  // Puts `state` in the place of the present one, if `replaces` returns true
  // for that one, which may be null. Returns that result.
  template <typename Replaces>
  bool PutIf(const void* address, State* state, Replaces replaces) {
    const uint64_t hash = HashOf(address);
    Shard& shard = ShardOf(hash);
    size_t wanted = 0;  // buckets
    {
      SpinLockHolder lock(shard.lock);
      State** const link = shard.LinkTo(hash, address);
      State* const there = *link;
      if (!replaces(there)) return false;
      Entry(state).address_ = address;
      Entry(state).next_ = there == nullptr ? nullptr : Entry(there).next_;
      *link = state;
      if (there == nullptr && ++shard.size > shard.mask + 1) {
        wanted = 2 * (shard.mask + 1);
      }
    }
    if (wanted != 0 && wanted <= kMostBuckets) Grow(shard, wanted);
    return true;
  }

  static void Grow(Shard& shard, size_t buckets) noexcept {
    std::unique_ptr<State*[]> made(new (std::nothrow) State*[buckets]());
    if (made == nullptr) return;
    // Released before `made` is freed.
    SpinLockHolder lock(shard.lock);
    if (buckets <= shard.mask + 1) return;  // another thread was faster
    for (size_t i = 0; i <= shard.mask; ++i) {
      for (State* state = shard.buckets[i]; state != nullptr;) {
        State* const next = Entry(state).next_;
        State*& bucket = made[(HashOf(Entry(state).address_) >> kBucketShift) &
                              (buckets - 1)];
        Entry(state).next_ = std::exchange(bucket, state);
        state = next;
      }
    }
    shard.grown.swap(made);
    shard.buckets = shard.grown.get();
    shard.mask = buckets - 1;
  }

  Shard shards_[size_t{1} << kShardBits];
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_ADDRESS_TABLE_H_
