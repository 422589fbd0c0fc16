// SPDX-License-Identifier: Apache-2.0
//
// The propagator that servers and channels use unless their options name
// another.

#ifndef TETHER_PROPAGATION_DEFAULT_H_
#define TETHER_PROPAGATION_DEFAULT_H_

#include <memory>

#include "tether/export.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Returns a CompositePropagator of W3C trace context, x-request-id and W3C
// baggage, in this order. Together they write at most 4 KiB per call
// (InjectLimits). Each call returns the same object, so its Dropped() counts
// for the whole process.
//
// Thread safety: any thread. Lifetime: the object is never destroyed, so
// static destructors may use it.
//
// To carry more, compose it with other propagators (composite.h).
TETHER_EXPORT std::shared_ptr<const Propagator> DefaultPropagator();

}  // namespace tether

#endif  // TETHER_PROPAGATION_DEFAULT_H_
