// SPDX-License-Identifier: Apache-2.0
//
// Describes the headers of a call while they are written. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_DESCRIBED_INJECT_H_
#define TETHER_PROPAGATION_INTERNAL_DESCRIBED_INJECT_H_

#include <string>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/propagator.h"

namespace tether::internal {

struct DescribedInject {
  std::string text;  // as DescribeInject (describe.h) returns it
  bool fits = true;  // what LimitedCarrier::Inject returned
  bool threw = false;
};

// Does what LimitedCarrier(carrier, limits).Inject(propagator, ctx) does, once:
// the propagator can't tell that it is described. Drops are counted. An
// exception of the propagator is caught.
TETHER_EXPORT DescribedInject InjectAndDescribe(const Propagator& propagator,
                                                const Context& ctx,
                                                Carrier& carrier,
                                                InjectLimits limits);

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_DESCRIBED_INJECT_H_
