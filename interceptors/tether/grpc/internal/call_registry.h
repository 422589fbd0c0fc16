// SPDX-License-Identifier: Apache-2.0
//
// Finds tether's state of a call by the address of its gRPC context, which has
// no slot for user data.
//
// Thread safety: any thread.
//
// Addresses are reused: the next user of an address overwrites its entry, and
// only the state in an entry can remove it. The registry owns nothing: a state
// must be removed before it is destroyed.

#ifndef TETHER_GRPC_INTERNAL_CALL_REGISTRY_H_
#define TETHER_GRPC_INTERNAL_CALL_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "tether/internal/mutex.h"

namespace tether::internal {

template <typename State>
class CallRegistry {
 public:
  // Returns the state that a previous user of the address left, or null.
  State* Put(const void* address, State* state) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    return std::exchange(shard.states[address], state);
  }

  // Like Put, but if the address has a state for which `same` returns true,
  // that state stays, and the result is false. `same` is called under the
  // registry's lock, as for Find.
  template <typename Same>
  bool PutUnless(const void* address, State* state, Same same) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    State*& there = shard.states[address];
    if (there != nullptr && same(*there)) return false;
    there = state;
    return true;
  }

  // Calls `take` under the registry's lock with the state of `address`, or
  // null, and returns its result. `take` must be short, and must not call other
  // code.
  template <typename Take>
  auto Find(const void* address, Take take) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    auto it = shard.states.find(address);
    return take(it == shard.states.end() ? nullptr : it->second);
  }

  // Calls `look` with each state, under the registry's lock. `look` must be
  // short, and must not call other code.
  template <typename Look>
  void ForEach(Look look) {
    for (Shard& shard : shards_) {
      MutexLock lock(shard.mutex);
      for (const auto& entry : shard.states) look(entry.second);
    }
  }

  // When this returns, no other thread uses `state` through the registry.
  void Remove(const void* address, const State* state) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    auto it = shard.states.find(address);
    if (it != shard.states.end() && it->second == state) {
      shard.states.erase(it);
    }
  }

 private:
  // Many threads make and drop calls at the same time.
  static constexpr size_t kShards = 32;

  struct alignas(64) Shard {
    Mutex mutex;
    absl::flat_hash_map<const void*, State*> states ABSL_GUARDED_BY(mutex);
  };

  Shard& ShardOf(const void* address) {
    const uint64_t mixed =
        reinterpret_cast<uintptr_t>(address) * uint64_t{0x9E3779B97F4A7C15};
    return shards_[(mixed >> 59) % kShards];
  }

  Shard shards_[kShards];
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CALL_REGISTRY_H_
