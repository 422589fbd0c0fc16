// SPDX-License-Identifier: Apache-2.0
//
// Counts of the objects that are alive in the process: for GetContextStats()
// and for tests that nothing is left behind. The layers above count events of
// their own in the same cells. Internal.
//
// Each thread counts in a cell of its own with plain stores; a reader adds up
// the cells. A count contains all changes that happened before it was read. It
// may contain some of the changes that are in progress, and miss others.
//
// Nothing here takes a lock, so a process may fork at any time. Nothing throws:
// if there is no memory for a thread's cell, the thread uses a shared one.

#ifndef TETHER_INTERNAL_LIVE_COUNTS_H_
#define TETHER_INTERNAL_LIVE_COUNTS_H_

#include <atomic>
#include <cstdint>

#include "tether/export.h"

namespace tether::internal {

enum class Live : uint8_t {
  kNode,      // heap nodes of contexts
  kCallback,  // callbacks and merges linked to contexts that have not ended
  kTimer,     // armed timers of all clocks
};
inline constexpr int kLiveKinds = 3;

// A cell has one slot for each kind above, and these for the layers above,
// which say what they count there. Those that they change most often should
// come first.
inline constexpr int kUpperSlots = 14;
inline constexpr int kFirstUpperSlot = kLiveKinds;
inline constexpr int kSlots = kLiveKinds + kUpperSlots;

// Cache lines of its own, in pairs, since processors fetch them so.
struct alignas(128) LiveCell {
  std::atomic<int64_t> counts[kSlots] = {};
  std::atomic<bool> taken{false};  // whether a thread uses it
  LiveCell* next = nullptr;        // constant once the cell is in the list
  uint32_t number = 0;             // its place in the list; constant, too
};

// This thread's cell. Null before the first count, if there is no memory for a
// cell, and while the thread's storage is destroyed.
TETHER_EXPORT extern thread_local LiveCell* live_cell;

TETHER_EXPORT void TakeLiveCell() noexcept;
TETHER_EXPORT void CountInSlotSlow(int slot, int64_t delta) noexcept;

// Adds `delta` to the count in `slot`. Any thread, at any time of the process,
// static destruction included. With `order` release, a reader that finds this
// change finds everything that happened before it, other counts included.
inline void CountInSlot(
    int slot, int64_t delta,
    std::memory_order order = std::memory_order_relaxed) noexcept {
  LiveCell* cell = live_cell;
  if (cell == nullptr) return CountInSlotSlow(slot, delta);
  std::atomic<int64_t>& count = cell->counts[slot];
  count.store(count.load(std::memory_order_relaxed) + delta, order);
}

inline void CountLive(Live kind, int64_t delta) noexcept {
  CountInSlot(static_cast<int>(kind), delta);
}

// Allocates this thread's cell, so that a later CountLive under a spin lock
// does not allocate (unless there is no memory now).
inline void PrepareLiveCount() noexcept {
  if (live_cell == nullptr) TakeLiveCell();
}

// A number for this thread that no other thread has at the same time. The
// numbers are small: those of threads that have ended are used again. A thread
// without a cell has 0.
inline uint32_t ThreadNumber() noexcept {
  PrepareLiveCount();
  return live_cell == nullptr ? 0 : live_cell->number;
}

// The process-wide count in `slot`. O(number of threads).
TETHER_EXPORT int64_t CountOfSlot(int slot);

inline int64_t LiveCount(Live kind) {
  return CountOfSlot(static_cast<int>(kind));
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_LIVE_COUNTS_H_
