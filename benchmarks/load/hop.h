// SPDX-License-Identifier: Apache-2.0
//
// One hop of the chain that ./bench.sh load measures: a relay that calls the
// next hop, or the leaf. All variants do the same work. They differ in what
// they know of their caller, and in what the next hop is told.

#ifndef TETHER_BENCHMARKS_LOAD_HOP_H_
#define TETHER_BENCHMARKS_LOAD_HOP_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "load/load.grpc.pb.h"
#include "meter.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"

namespace tether::benchmarks {

enum class Variant {
  // Each hop gives its call a timeout of its own, and handlers run to the end.
  kNoPropagation,
  // ClientContext::FromServerContext, and handlers that poll IsCancelled().
  kByHand,
  kTether,
};

// The timeout of each call without propagation.
inline constexpr std::chrono::seconds kFixedTimeout(1);

// The client context of the call that a request makes. `ServerContext` is
// grpc::ServerContext or grpc::CallbackServerContext.
template <typename ServerContext>
std::shared_ptr<grpc::ClientContext> CallFor(Variant variant,
                                             const ServerContext& request) {
  switch (variant) {
    case Variant::kTether:
      return std::make_shared<ClientCall>(ContextOf(request));
    case Variant::kByHand:
      return grpc::ClientContext::FromServerContext(request);
    case Variant::kNoPropagation:
      break;
  }
  auto context = std::make_shared<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + kFixedTimeout);
  return context;
}

// Whether the request's caller has gone, as far as its handler knows. Handlers
// ask before each piece of work.
template <typename ServerContext>
bool CallerHasGone(Variant variant, const ServerContext& request) {
  switch (variant) {
    case Variant::kTether:
      return ContextOf(request).Done();
    case Variant::kByHand:
      return request.IsCancelled();
    case Variant::kNoPropagation:
      break;
  }
  return false;
}

inline grpc::Status CallerGone() {
  return {grpc::StatusCode::CANCELLED, "the caller has gone"};
}

// The service of a hop. `next` is null for the leaf. The meter and the stub
// must outlive the service.
std::unique_ptr<grpc::Service> MakeSyncHop(Variant variant, Meter& meter,
                                           Hop::Stub* next);
std::unique_ptr<grpc::Service> MakeCallbackHop(Variant variant, Meter& meter,
                                               Hop::Stub* next);

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_LOAD_HOP_H_
