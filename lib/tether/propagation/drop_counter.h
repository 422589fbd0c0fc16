// SPDX-License-Identifier: Apache-2.0
//
// Counts the values that a propagator drops.

#ifndef TETHER_PROPAGATION_DROP_COUNTER_H_
#define TETHER_PROPAGATION_DROP_COUNTER_H_

#include <atomic>
#include <cstdint>
#include <string_view>

#include "tether/propagation/internal/propagation_notes.h"

namespace tether {

// The member behind Propagator::Dropped(). Propagators are used through const
// functions only, so Add() is const too.
//
// A copy starts with the count of its original and counts on its own, so a
// propagator with such a member can be copied and moved.
//
// Thread safety: any thread, without a lock.
//
// Example:
//
//   if (!IsGood(value)) dropped_.Add();
//   ...
//   int64_t Dropped() const override { return dropped_.count(); }
class DropCounter {
 public:
  DropCounter() = default;
  DropCounter(const DropCounter& other) : count_(other.count()) {}
  DropCounter& operator=(const DropCounter& other) {
    count_.store(other.count(), std::memory_order_relaxed);
    return *this;
  }

  // Requires n >= 0. Adding 0 writes nothing.
  void Add(int64_t n = 1) const {
    if (n != 0) Add(n, "", "malformed, too large, or repeated");
  }

  // The same for one value, with the reason for people who debug (describe.h).
  // `header` is in lower case; "": the one that was read last.
  void Add(std::string_view header, std::string_view why) const {
    Add(1, header, why);
  }

  int64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  void Add(int64_t n, std::string_view header, std::string_view why) const {
    if (internal::NoteDrop(header, why)) return;
    count_.fetch_add(n, std::memory_order_relaxed);
  }

  mutable std::atomic<int64_t> count_{0};
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_DROP_COUNTER_H_
