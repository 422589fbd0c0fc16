// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/propagation_health.h"

namespace tether {

v1::PropagationHealth PropagationHealthOf(const Metrics&, const InFlight&) {
  return {};
}
v1::PropagationHealth GetPropagationHealth() { return {}; }

}  // namespace tether
