// Finds what tether knows of a call by the address of its gRPC context: gRPC
// has no slot for it.
//
// Thread safety: any thread. Addresses are reused: an entry is overwritten by
// its address's next user, and removed only by its own.

#ifndef TETHER_GRPC_INTERNAL_CALL_REGISTRY_H_
#define TETHER_GRPC_INTERNAL_CALL_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "tether/internal/mutex.h"

namespace tether::internal {

template <typename State>
class CallRegistry {
 public:
  void Put(const void* address, std::shared_ptr<State> state) {
    Shard& shard = ShardOf(address);
    std::shared_ptr<State> former;  // dropped outside the lock
    MutexLock lock(shard.mutex);
    former = std::exchange(shard.states[address], std::move(state));
  }

  // Null when there is none.
  std::shared_ptr<State> Find(const void* address) {
    Shard& shard = ShardOf(address);
    MutexLock lock(shard.mutex);
    auto it = shard.states.find(address);
    return it == shard.states.end() ? nullptr : it->second;
  }

  void Remove(const void* address, const State* state) {
    Shard& shard = ShardOf(address);
    std::shared_ptr<State> former;
    MutexLock lock(shard.mutex);
    auto it = shard.states.find(address);
    if (it == shard.states.end() || it->second.get() != state) return;
    former = std::move(it->second);
    shard.states.erase(it);
  }

 private:
  // Calls are made and dropped on many threads at once.
  static constexpr size_t kShards = 32;

  struct alignas(64) Shard {
    Mutex mutex;
    absl::flat_hash_map<const void*, std::shared_ptr<State>> states
        ABSL_GUARDED_BY(mutex);
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
