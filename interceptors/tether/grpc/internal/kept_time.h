// SPDX-License-Identifier: Apache-2.0
//
// Decides how much of a call's time its caller keeps.

#ifndef TETHER_GRPC_INTERNAL_KEPT_TIME_H_
#define TETHER_GRPC_INTERNAL_KEPT_TIME_H_

#include "tether/grpc/reserve.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// The time that the caller keeps of `left` (kNever: no deadline): its reserve.
// If the call isn't `connected`, its request will wait, and the server learns
// that from grpc-timeout alone (TimeLeft in request_budget.h). That header is
// rounded up, so a part of the wait can stay hidden. That part is kept as well,
// if there is a reserve at all. Never more than a quarter of `left`, like a
// reserve.
Nanos KeptTime(const Reserve& reserve, Nanos left, bool connected);

// How much longer the grpc-timeout of a call that has `left` says than `left`.
// Core rounds it up, to whole milliseconds and to three digits. Zero for what
// isn't positive, and above some hours.
Nanos GrpcTimeoutDrift(Nanos left);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_KEPT_TIME_H_
