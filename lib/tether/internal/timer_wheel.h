// SPDX-License-Identifier: Apache-2.0
//
// TimerWheel: a hierarchical timing wheel. Internal. Add and Remove are O(1),
// and so is the work until a timer expires: it moves at most once per level.
//
// Each level has 64 slots. A slot of level 0 spans one tick; a slot of any
// other level spans the whole level below. A bitmap per level finds the next
// event without visiting empty slots. (Varghese and Lauck, "Hashed and
// Hierarchical Timing Wheels", 1987.)
//
// Thread safety: none; its owner must lock. Intrusive: a Timer belongs to the
// user and must outlive its time in the wheel.
//
// Invariants:
//  1. For each timer in the wheel, tick(timer) > current_tick_.
//  2. A timer's level is the highest 6-bit digit in which its tick differs from
//     current_tick_. So every timer of a level expires before all timers of the
//     levels above.
//  3. A bit of a level's bitmap is set if and only if the slot has a timer.
//
// Example:
//   TimerWheel wheel(/*tick_shift=*/18, now);
//   Timer timer;
//   wheel.Add(timer, now + 1'000'000);
//   for (Timer* t = wheel.TakeExpired(later); t != nullptr; t = t->next) ...

#ifndef TETHER_INTERNAL_TIMER_WHEEL_H_
#define TETHER_INTERNAL_TIMER_WHEEL_H_

#include <cstddef>
#include <cstdint>

#include "tether/export.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

struct Timer {
  static constexpr uint16_t kNoShard = 0xFFFF;

  Timer* next = nullptr;
  Timer** pprev = nullptr;  // null: not in a wheel
  Nanos when = kNever;
  uint32_t generation = 0;    // of the service (timer_service.h)
  uint16_t position = 0;      // level * 64 + slot, while in a wheel
  uint16_t shard = kNoShard;  // constant once armed (timer_service.h)

  bool armed() const { return pprev != nullptr; }
};

class TETHER_EXPORT TimerWheel {
 public:
  // Times are counted from `start` in ticks of 2^tick_shift nanoseconds.
  // Expiries are rounded up to a tick, so a timer never fires early, and less
  // than one tick late. A tick_shift of 0 is exact.
  TimerWheel(int tick_shift, Nanos start);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms `timer`, which must not be armed. If the time has passed, it fires at
  // the next tick.
  void Add(Timer& timer, Nanos when);

  // Disarms `timer`. No effect if it isn't armed.
  void Remove(Timer& timer);

  // Moves the time forward to `now`, unless that is earlier than before.
  // Returns the expired timers, no longer armed, as a list linked by `next`,
  // with the earliest tick first.
  Timer* TakeExpired(Nanos now);

  // Empties the wheel and returns all timers, no longer armed, as a list linked
  // by `next`.
  Timer* TakeAll();

  // The time when TakeExpired next has something to do: an expiry, or moving a
  // slot to a lower level. kNever if the wheel is empty.
  Nanos NextEvent() const;

  size_t size() const { return size_; }

 private:
  static constexpr int kBits = 6;
  static constexpr int kSlots = 1 << kBits;
  static constexpr int kLevels = 11;  // 66 bits, enough for every int64_t

  struct Level {
    uint64_t occupied = 0;
    Timer* slots[kSlots] = {};
  };

  uint64_t TickOf(Nanos when) const;
  void Insert(Timer& timer, uint64_t tick);
  bool NextEventTick(int* level, int* slot, uint64_t* tick) const;

  const int tick_shift_;
  const Nanos start_;
  uint64_t current_tick_ = 0;
  size_t size_ = 0;
  Level levels_[kLevels];
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_TIMER_WHEEL_H_
