// SPDX-License-Identifier: Apache-2.0
//
// NameIndex: the requests of a Correlator under one of their names. Internal to
// the Correlator.
//
// A name's entry lists the requests that have not ended and counts tombstones,
// one for each request that has ended. A tombstone keeps nothing of its
// request: the entry has counts of them, and the status of the last.
//
// Invariants, of each shard, under its lock:
//  1. `tombstones` has one element for each tombstone that an entry counts, the
//     oldest first. Its pointer is valid.
//  2. An entry exists as long as it lists a request or counts a tombstone.
//  3. Request i of an entry's list has `place` i in its Listing.
//
// Each function takes constant time, apart from the growth of the tables, and
// holds one lock once. No Context is destroyed under a lock.

#ifndef TETHER_SIDECAR_NAME_INDEX_H_
#define TETHER_SIDECAR_NAME_INDEX_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/node_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "sidecar/request.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"

namespace tether::sidecar {

// What is known of one name.
struct Candidates {
  // Those that have not been taken out by End; more than `kMax` are not listed.
  // Their contexts may have ended.
  Requests requests;
  bool too_many = false;
  // Whether there are tombstones of each kind.
  bool completed = false;
  bool refused = false;
  absl::Status status;  // of the last refused one

  static constexpr size_t kMax = 64;
};

// Thread safety: any thread.
template <typename Key>
class NameIndex {
 public:
  using View = std::conditional_t<std::is_same_v<Key, std::string>,
                                  absl::string_view, const Key&>;

  // `number`: which of a Request's listings is this index's. The bound of
  // tombstones is exact with one shard; else each shard has its share.
  NameIndex(size_t number, size_t shards, size_t max_tombstones,
            internal::Nanos life)
      : number_(number),
        max_tombstones_(std::max<size_t>(max_tombstones / shards, 1)),
        life_(life),
        shards_(shards) {}

  void Add(View name, const std::shared_ptr<Request>& request,
           internal::Nanos now) {
    Request::Listing& listing = request->listings_[number_];
    listing.shard = ShardOf(name);
    Shard& shard = shards_[listing.shard];
    const internal::MutexLock lock(shard.mutex);
    DropExpired(shard, now, kDropsPerChange);
    Node& node = *shard.entries.try_emplace(name).first;
    listing.entry = &node;
    listing.place = static_cast<uint32_t>(node.second.requests.size());
    node.second.requests.push_back(request);
  }

  // Requires that `request` was added here, and removed never. The caller's
  // pointer is another than the one in the list, so that the request is not
  // destroyed under the lock. `status`: OK if it was completed.
  void End(const Request& request, const absl::Status& status,
           internal::Nanos now) {
    const Request::Listing& listing = request.listings_[number_];
    if (listing.entry == nullptr) return;
    Shard& shard = shards_[listing.shard];
    const internal::MutexLock lock(shard.mutex);
    Node& node = *static_cast<Node*>(listing.entry);
    Requests& requests = node.second.requests;
    std::shared_ptr<Request>& place = requests[listing.place];
    if (&place != &requests.back()) {
      place = std::move(requests.back());
      place->listings_[number_].place = listing.place;
    }
    requests.pop_back();
    Bury(shard, node, status, now);
    DropExpired(shard, now, kDropsPerChange);
    while (shard.tombstones.size() > max_tombstones_) DropOldest(shard);
  }

  // Adds what is known of `name` to `found`. False if there is nothing.
  bool Find(View name, internal::Nanos now, Candidates& found) {
    Shard& shard = shards_[ShardOf(name)];
    const internal::MutexLock lock(shard.mutex);
    const auto it = shard.entries.find(name);
    if (it == shard.entries.end()) return false;
    const Entry& entry = it->second;
    const bool completed =
        entry.completed > 0 && !IsExpired(entry.last_completed, now);
    const bool refused =
        entry.refused > 0 && !IsExpired(entry.last_refused, now);
    found.completed |= completed;
    if (refused) {
      found.refused = true;
      found.status = entry.status;
    }
    if (entry.requests.size() + found.requests.size() > Candidates::kMax) {
      found.too_many = true;
    } else {
      found.requests.insert(found.requests.end(), entry.requests.begin(),
                            entry.requests.end());
    }
    return completed || refused || !entry.requests.empty();
  }

  // The number of tombstones at `now`. Removes all that have expired.
  size_t CountTombstones(internal::Nanos now) {
    size_t count = 0;
    for (Shard& shard : shards_) {
      const internal::MutexLock lock(shard.mutex);
      DropExpired(shard, now, std::numeric_limits<size_t>::max());
      count += shard.tombstones.size();
    }
    return count;
  }

  // The number of tombstones in memory, with expired ones.
  size_t Held() {
    size_t count = 0;
    for (Shard& shard : shards_) {
      const internal::MutexLock lock(shard.mutex);
      count += shard.tombstones.size();
    }
    return count;
  }

 private:
  // A change adds at most one tombstone, so expired ones vanish in time.
  static constexpr size_t kDropsPerChange = 2;

  struct Entry {
    Requests requests;
    uint32_t completed = 0;  // tombstones
    uint32_t refused = 0;
    internal::Nanos last_completed = internal::kLongPast;
    internal::Nanos last_refused = internal::kLongPast;
    absl::Status status;  // of the last refused one
  };

  using Entries = absl::node_hash_map<Key, Entry>;
  using Node = typename Entries::value_type;  // a name and its entry

  struct Tombstone {
    Node* node;
    internal::Nanos at;
    bool completed;
  };

  // Cache lines of its own, in pairs, since processors fetch them so.
  struct alignas(128) Shard {
    internal::Mutex mutex;
    Entries entries ABSL_GUARDED_BY(mutex);
    std::deque<Tombstone> tombstones ABSL_GUARDED_BY(mutex);
  };

  uint32_t ShardOf(View name) const {
    // The high bits: within a shard, the table uses the low ones.
    constexpr int kShift = std::numeric_limits<size_t>::digits - 8;
    return static_cast<uint32_t>(
        (absl::Hash<std::decay_t<View>>{}(name) >> kShift) % shards_.size());
  }

  bool IsExpired(internal::Nanos at, internal::Nanos now) const {
    return internal::AddNanos(at, life_) <= now;
  }

  static void Bury(Shard& shard, Node& node, const absl::Status& status,
                   internal::Nanos now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    Entry& entry = node.second;
    shard.tombstones.push_back({&node, now, status.ok()});
    if (status.ok()) {
      ++entry.completed;
      entry.last_completed = std::max(entry.last_completed, now);
    } else {
      ++entry.refused;
      entry.last_refused = std::max(entry.last_refused, now);
      entry.status = status;
    }
  }

  void DropExpired(Shard& shard, internal::Nanos now, size_t most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    for (size_t i = 0; i < most && !shard.tombstones.empty(); ++i) {
      if (!IsExpired(shard.tombstones.front().at, now)) return;
      DropOldest(shard);
    }
  }

  static void DropOldest(Shard& shard)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    const Tombstone oldest = shard.tombstones.front();
    shard.tombstones.pop_front();
    Entry& entry = oldest.node->second;
    --(oldest.completed ? entry.completed : entry.refused);
    if (entry.completed + entry.refused > 0 || !entry.requests.empty()) return;
    shard.entries.erase(shard.entries.find(oldest.node->first));
  }

  const size_t number_;
  const size_t max_tombstones_;  // of a shard
  const internal::Nanos life_;
  std::vector<Shard> shards_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_NAME_INDEX_H_
