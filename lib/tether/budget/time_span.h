// SPDX-License-Identifier: Apache-2.0
//
// A time interval in microseconds. Its user defines what zero means.

#ifndef TETHER_BUDGET_TIME_SPAN_H_
#define TETHER_BUDGET_TIME_SPAN_H_

#include <cstdint>

#include "tether/export.h"

namespace tether {

// The longest time in a report: 10^15 us, 31 years.
inline constexpr int64_t kMaxReportTimeUs = 1'000'000'000'000'000;

// The half-open interval [begin_us, end_us). begin_us <= end_us.
struct TimeSpan {
  int64_t begin_us = 0;
  int64_t end_us = 0;

  int64_t length_us() const { return end_us - begin_us; }

  friend bool operator==(const TimeSpan& a, const TimeSpan& b) {
    return a.begin_us == b.begin_us && a.end_us == b.end_us;
  }
  friend bool operator!=(const TimeSpan& a, const TimeSpan& b) {
    return !(a == b);
  }
};

}  // namespace tether

#endif  // TETHER_BUDGET_TIME_SPAN_H_
