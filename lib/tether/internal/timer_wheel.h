// A hierarchical timing wheel: add and remove are O(1), and so is each timer's
// way to its expiry (at most one move a level). Levels have 64 slots; level 0
// has one tick a slot, and each level's slot spans the whole level below it. A
// bitmap a level finds the next event without walking empty slots. (Varghese
// and Lauck, "Hashed and Hierarchical Timing Wheels", 1987.)
//
// Thread safety: none; its owner locks. Intrusive: a Timer belongs to its user
// and must outlive its stay in the wheel.
//
// Invariants:
//  1. For each timer in the wheel, tick(timer) > current_tick_.
//  2. A timer's level is that of the highest 6-bit digit in which its tick
//     differs from current_tick_; so every timer of a level expires before any
//     timer of a level above it.
//  3. A level's bitmap has a bit set exactly where the slot has a timer.
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
  Timer* next = nullptr;
  Timer** pprev = nullptr;  // null: not in a wheel
  Nanos when = kNever;
  uint32_t generation = 0;  // the service's (timer_service.h)
  uint16_t position = 0;    // level * 64 + slot, while in a wheel

  bool armed() const { return pprev != nullptr; }
};

class TETHER_EXPORT TimerWheel {
 public:
  // Times are kept in ticks of 2^tick_shift nanoseconds, counted from `start`;
  // expiries are rounded up to a tick, so a timer never fires early, and late
  // by less than one tick. tick_shift 0 is exact.
  TimerWheel(int tick_shift, Nanos start);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms `timer`, which must not be armed. A time that has passed fires at the
  // next tick.
  void Add(Timer& timer, Nanos when);

  // Disarms `timer`; no effect when it isn't armed.
  void Remove(Timer& timer);

  // Moves time forward to `now` (earlier than before: no effect) and returns
  // the timers that expired, as a list linked by `next`, earliest tick first.
  // They are no longer armed.
  Timer* TakeExpired(Nanos now);

  // All timers, as a list linked by `next`; the wheel is empty then. They are
  // no longer armed.
  Timer* TakeAll();

  // When TakeExpired next has something to do (an expiry, or the move of a slot
  // to a lower level); kNever when empty.
  Nanos NextEvent() const;

  size_t size() const { return size_; }

 private:
  static constexpr int kBits = 6;
  static constexpr int kSlots = 1 << kBits;
  static constexpr int kLevels = 11;  // 66 bits: every int64_t has its place

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
