// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/default.h"

#include "tether/propagation/baggage.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {

std::shared_ptr<const Propagator> DefaultPropagator() {
  static const auto& propagator = *new std::shared_ptr<const Propagator>(
      std::make_shared<CompositePropagator>(TraceContextPropagator(),
                                            RequestIdPropagator(),
                                            BaggagePropagator()));
  return propagator;
}

}  // namespace tether
