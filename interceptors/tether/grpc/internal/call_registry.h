// Finds what tether knows of a call by the address of its gRPC context: gRPC
// has no slot for it.
//
// Thread safety: any thread. Addresses are reused: an entry is overwritten by
// its address's next user, and removed only by its own. It owns nothing: who
// puts a state in takes it out before the state goes.

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
  // Returns what was there before, of whoever had the address; else null.
  State* Put(const void* address, State* state) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    return std::exchange(shard.states[address], state);
  }

  // The same; but where whoever is there is `same`, as this says, it stays, and
  // the result is false. `same` is called under the registry's lock: as for
  // Find.
  template <typename Same>
  bool PutUnless(const void* address, State* state, Same same) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    State*& there = shard.states[address];
    if (there != nullptr && same(*there)) return false;
    there = state;
    return true;
  }

  // What `take` makes of the state, under the registry's lock; with null where
  // there is none. It must be short, and call nobody.
  template <typename Take>
  auto Find(const void* address, Take take) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    auto it = shard.states.find(address);
    return take(it == shard.states.end() ? nullptr : it->second);
  }

  // Calls `look` with each state, under the registry's lock. It must be short,
  // and call nobody.
  template <typename Look>
  void ForEach(Look look) {
    for (Shard& shard : shards_) {
      MutexLock lock(shard.mutex);
      for (const auto& entry : shard.states) look(entry.second);
    }
  }

  // When it returns, nobody looks at `state` any more.
  void Remove(const void* address, const State* state) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    auto it = shard.states.find(address);
    if (it != shard.states.end() && it->second == state) {
      shard.states.erase(it);
    }
  }

 private:
  // Calls are made and dropped on many threads at once.
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
