// SPDX-License-Identifier: Apache-2.0
//
// Figures for tests of the exporters.

#ifndef TETHER_OBSERVABILITY_TESTING_SAMPLE_METRICS_H_
#define TETHER_OBSERVABILITY_TESTING_SAMPLE_METRICS_H_

#include <initializer_list>

#include "tether/observability/metric_table.h"
#include "tether/observability/metrics.h"

namespace tether::testing {

inline constexpr char kServed[] = "/shop.v1.Orders/GetOrder";
inline constexpr char kCalled[] = "/shop.v1.Inventory/GetStock";

void Add(DurationHistogram& histogram, double seconds);

// Of durations in seconds.
DurationHistogram HistogramOf(std::initializer_list<double> seconds);

// One served method, kServed, and one called method, kCalled. No two counters
// and gauges have the same value, and none is zero.
MetricValues SampleMetrics();

}  // namespace tether::testing

#endif  // TETHER_OBSERVABILITY_TESTING_SAMPLE_METRICS_H_
