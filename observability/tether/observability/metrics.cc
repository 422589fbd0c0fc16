// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/metrics.h"

namespace tether {

bool StartMetrics(const MetricsOptions&) { return false; }

const std::array<double, DurationHistogram::kBounds>&
DurationHistogram::Bounds() {
  static constexpr std::array<double, kBounds> kSeconds = {
      0,   1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05,
      0.1, 0.2,  0.5,  1,    2,    5,    10,   30,   100};
  return kSeconds;
}

Metrics ReadMetrics() { return {}; }
MetricsMemory GetMetricsMemory() { return {}; }

}  // namespace tether
