// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/timer_wheel.h"

namespace tether::internal {

TimerWheel::TimerWheel(int tick_shift, Nanos start)
    : tick_shift_(tick_shift), start_(start) {}

uint64_t TimerWheel::TickOf(Nanos when) const {
  if (when <= start_) return 0;
  // Since when > start_, the difference fits in 64 unsigned bits.
  const uint64_t elapsed =
      static_cast<uint64_t>(when) - static_cast<uint64_t>(start_);
  const uint64_t tick = elapsed >> tick_shift_;
  return (tick << tick_shift_) == elapsed ? tick : tick + 1;
}

void TimerWheel::Insert(Timer& timer, uint64_t tick) {
  const uint64_t differs = (tick ^ current_tick_) | (kSlots - 1);
  const int level = (63 - __builtin_clzll(differs)) / kBits;
  const int slot = static_cast<int>((tick >> (level * kBits)) & (kSlots - 1));
  Level& l = levels_[level];
  timer.position = static_cast<uint16_t>(level * kSlots + slot);
  timer.next = l.slots[slot];
  timer.pprev = &l.slots[slot];
  if (timer.next != nullptr) timer.next->pprev = &timer.next;
  l.slots[slot] = &timer;
  l.occupied |= uint64_t{1} << slot;
}

void TimerWheel::Add(Timer& timer, Nanos when) {
  timer.when = when;
  const uint64_t tick = TickOf(when);
  Insert(timer, tick > current_tick_ ? tick : current_tick_ + 1);
  ++size_;
}

void TimerWheel::Remove(Timer& timer) {
  if (!timer.armed()) return;
  *timer.pprev = timer.next;
  if (timer.next != nullptr) timer.next->pprev = timer.pprev;
  timer.pprev = nullptr;
  timer.next = nullptr;
  --size_;
  const int slot = timer.position % kSlots;
  Level& l = levels_[timer.position / kSlots];
  if (l.slots[slot] == nullptr) l.occupied &= ~(uint64_t{1} << slot);
}

bool TimerWheel::NextEventTick(int* level, int* slot, uint64_t* tick) const {
  for (int i = 0; i < kLevels; ++i) {
    const uint64_t occupied = levels_[i].occupied;
    if (occupied == 0) continue;
    // By invariants 1 and 2, every occupied slot is ahead of the current digit
    // of its level.
    const int first = __builtin_ctzll(occupied);
    const int shift = i * kBits;
    const int above = shift + kBits;
    const uint64_t prefix = above >= 64 ? 0 : (current_tick_ >> above) << above;
    *level = i;
    *slot = first;
    *tick = prefix | (static_cast<uint64_t>(first) << shift);
    return true;
  }
  return false;
}

Timer* TimerWheel::TakeExpired(Nanos now) {
  Timer* expired = nullptr;
  Timer** tail = &expired;
  // Rounds down: a tick has been reached only when all of it has passed.
  const uint64_t now_tick =
      now <= start_
          ? 0
          : (static_cast<uint64_t>(now) - static_cast<uint64_t>(start_)) >>
                tick_shift_;
  int level;
  int slot;
  uint64_t tick;
  while (NextEventTick(&level, &slot, &tick) && tick <= now_tick) {
    current_tick_ = tick;
    Level& l = levels_[level];
    Timer* timer = l.slots[slot];
    l.slots[slot] = nullptr;
    l.occupied &= ~(uint64_t{1} << slot);
    while (timer != nullptr) {
      Timer* next = timer->next;
      const uint64_t due = TickOf(timer->when);
      if (due > current_tick_) {
        Insert(*timer, due);
      } else {
        timer->pprev = nullptr;
        timer->next = nullptr;
        *tail = timer;
        tail = &timer->next;
        --size_;
      }
      timer = next;
    }
  }
  if (now_tick > current_tick_) current_tick_ = now_tick;
  return expired;
}

Timer* TimerWheel::TakeAll() {
  Timer* all = nullptr;
  Timer** tail = &all;
  for (Level& level : levels_) {
    for (; level.occupied != 0; level.occupied &= level.occupied - 1) {
      const int slot = __builtin_ctzll(level.occupied);
      *tail = level.slots[slot];
      level.slots[slot] = nullptr;
      for (; *tail != nullptr; tail = &(*tail)->next) (*tail)->pprev = nullptr;
    }
  }
  size_ = 0;
  return all;
}

Nanos TimerWheel::NextEvent() const {
  int level;
  int slot;
  uint64_t tick;
  if (!NextEventTick(&level, &slot, &tick)) return kNever;
  const uint64_t limit =
      static_cast<uint64_t>(kNever) - static_cast<uint64_t>(start_);
  const uint64_t elapsed = tick << tick_shift_;
  if ((elapsed >> tick_shift_) != tick || elapsed >= limit) return kNever - 1;
  return static_cast<Nanos>(static_cast<uint64_t>(start_) + elapsed);
}

}  // namespace tether::internal
