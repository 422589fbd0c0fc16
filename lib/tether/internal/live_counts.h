// Counts of what is alive in the process, for the tests that nothing is left
// behind, and for a gauge in production.
//
// Each thread counts in a cell of its own with plain stores; a reader adds the
// cells up. A count is exact once the threads that changed it have been joined
// with; before that it may be off by what is under way.
//
// Nothing here takes a lock, so nothing is held in a process that forks; and
// nothing throws: a thread for which there is no memory counts in a cell that
// it shares.

#ifndef TETHER_INTERNAL_LIVE_COUNTS_H_
#define TETHER_INTERNAL_LIVE_COUNTS_H_

#include <atomic>
#include <cstdint>

#include "tether/export.h"

namespace tether::internal {

enum class Live : uint8_t {
  kNode,      // heap nodes of contexts
  kCallback,  // callbacks and merges linked to a context that has not ended
  kTimer,     // armed timers, of every clock
};
inline constexpr int kLiveKinds = 3;

struct LiveCell {
  std::atomic<int64_t> counts[kLiveKinds] = {};
  std::atomic<bool> taken{false};  // by a thread
  LiveCell* next = nullptr;        // constant once it is in the list
};

// This thread's cell: null before the first count, without memory for one, and
// while the thread's storage is torn down.
TETHER_EXPORT extern thread_local LiveCell* live_cell;

TETHER_EXPORT void TakeLiveCell() noexcept;
TETHER_EXPORT void CountLiveSlow(Live kind, int64_t delta) noexcept;

// Adds `delta` to the count of `kind`. Any thread, at any time of the process,
// static destruction included.
inline void CountLive(Live kind, int64_t delta) noexcept {
  LiveCell* cell = live_cell;
  if (cell == nullptr) return CountLiveSlow(kind, delta);
  std::atomic<int64_t>& count = cell->counts[static_cast<int>(kind)];
  count.store(count.load(std::memory_order_relaxed) + delta,
              std::memory_order_relaxed);
}

// Sees to it that CountLive on this thread won't allocate (unless there is no
// memory now): to be called before it is called under a spin lock.
inline void PrepareLiveCount() noexcept {
  if (live_cell == nullptr) TakeLiveCell();
}

// The process-wide count of `kind`. O(number of threads).
TETHER_EXPORT int64_t LiveCount(Live kind);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_LIVE_COUNTS_H_
