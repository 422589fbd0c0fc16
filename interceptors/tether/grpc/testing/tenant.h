// SPDX-License-Identifier: Apache-2.0
//
// A value of an application's own, in a header of its own.

#ifndef TETHER_GRPC_TESTING_TENANT_H_
#define TETHER_GRPC_TESTING_TENANT_H_

#include <memory>
#include <string>

#include "tether/context.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/default.h"
#include "tether/propagation/header.h"
#include "tether/propagation/propagator.h"

namespace tether::testing {

inline constexpr Key<std::string> kTenant{"tenant"};

// The default propagators, and kTenant in the header x-tenant.
inline std::shared_ptr<const Propagator> WithTenant() {
  return std::make_shared<CompositePropagator>(
      DefaultPropagator(),
      HeaderPropagator<std::string>(kTenant, "x-tenant", StringCodec()));
}

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_TENANT_H_
