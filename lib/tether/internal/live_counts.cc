#include "tether/internal/live_counts.h"

#include <pthread.h>

#include <vector>

#include "tether/internal/mutex.h"

namespace tether::internal {
namespace {

// Never destroyed: threads may end, and contexts may be dropped, after static
// destruction began.
struct Registry {
  Mutex mutex;
  std::vector<LiveCell*> cells ABSL_GUARDED_BY(mutex);
  std::vector<LiveCell*> unused
      ABSL_GUARDED_BY(mutex);  // of threads that ended
  LiveCell shared;             // for threads without a cell
};

Registry& GetRegistry() {
  static Registry& registry = *new Registry;
  return registry;
}

// fork: the child finds the registry whole and free. Made early, since one that
// another thread is making at that moment would never be finished there.
[[maybe_unused]] const int fork_handled = [] {
  GetRegistry();
  constexpr auto unlock = []() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    GetRegistry().mutex.unlock();
  };
  return pthread_atfork(
      []() ABSL_NO_THREAD_SAFETY_ANALYSIS { GetRegistry().mutex.lock(); },
      unlock, unlock);
}();

enum class ThreadState : uint8_t { kNew, kCounting, kEnded };
thread_local ThreadState thread_state = ThreadState::kNew;

// Hands the cell, with what it has counted, to the next thread.
struct ReturnCellAtThreadExit {
  ~ReturnCellAtThreadExit() {
    thread_state = ThreadState::kEnded;
    LiveCell* cell = live_cell;
    live_cell = nullptr;
    Registry& registry = GetRegistry();
    MutexLock lock(registry.mutex);
    registry.unused.push_back(cell);
  }
};

}  // namespace

thread_local LiveCell* live_cell = nullptr;

void CountLiveSlow(Live kind, int64_t delta) {
  Registry& registry = GetRegistry();
  if (thread_state == ThreadState::kEnded) {
    registry.shared.counts[static_cast<int>(kind)].fetch_add(
        delta, std::memory_order_relaxed);
    return;
  }
  {
    MutexLock lock(registry.mutex);
    if (registry.unused.empty()) {
      live_cell = new LiveCell;
      registry.cells.push_back(live_cell);
    } else {
      live_cell = registry.unused.back();
      registry.unused.pop_back();
    }
  }
  thread_state = ThreadState::kCounting;
  static thread_local ReturnCellAtThreadExit return_cell;
  (void)return_cell;
  CountLive(kind, delta);
}

int64_t LiveCount(Live kind) {
  Registry& registry = GetRegistry();
  const int index = static_cast<int>(kind);
  MutexLock lock(registry.mutex);
  int64_t total = registry.shared.counts[index].load(std::memory_order_relaxed);
  for (const LiveCell* cell : registry.cells) {
    total += cell->counts[index].load(std::memory_order_relaxed);
  }
  return total;
}

}  // namespace tether::internal
