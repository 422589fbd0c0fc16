// SPDX-License-Identifier: Apache-2.0
//
// Reserve::Of in nanoseconds.

#ifndef TETHER_GRPC_INTERNAL_RESERVE_NANOS_H_
#define TETHER_GRPC_INTERNAL_RESERVE_NANOS_H_

#include "tether/grpc/reserve.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// reserve.Of(left), rounded down. kNever stands for InfiniteDuration().
Nanos ReserveOf(const Reserve& reserve, Nanos left);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_RESERVE_NANOS_H_
