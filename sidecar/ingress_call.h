// SPDX-License-Identifier: Apache-2.0
//
// A request on its way to the app.

#ifndef TETHER_SIDECAR_INGRESS_CALL_H_
#define TETHER_SIDECAR_INGRESS_CALL_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sidecar/call_queue.h"
#include "sidecar/correlator.h"
#include "sidecar/proxied_call.h"
#include "sidecar/routes.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/incoming_call.h"

namespace tether::sidecar {

// The app is the hop: the context is made here, the calls that the app makes
// for the request are found by its id (EgressCall), and the call to the app is
// not in the hop's record.
class IngressCall final : public ProxiedCall {
 public:
  IngressCall(CallQueue& queue, grpc::AsyncGenericService& service,
              std::shared_ptr<const Routes<IngressRoute>> routes,
              std::shared_ptr<Shared> shared);
  ~IngressCall() override;

 private:
  void OnAccepted() override;
  void AcceptNext() override;
  void OnCallerGone() override;
  void OnAnswer(grpc::Status& status, bool is_callees, bool after_messages,
                Metadata& trailing) override;
  int64_t MostInFlight() const override { return route_->most_in_flight; }

  // Whether the context decides about the call; else it is only observed.
  bool applies() const { return route_->mode != Mode::kObserve; }

  void SetDeadline();
  // Copies the caller's headers, with the request's id.
  void SetHeaders(const HopId& id);
  // The header with the id, or without any if the request isn't known.
  std::string WithId(std::string_view header, const HopId& id, bool is_baggage,
                     bool is_first) const;
  void Log(const grpc::Status& status);

  const std::shared_ptr<const Routes<IngressRoute>> routes_;
  const std::shared_ptr<Shared> shared_;
  std::shared_ptr<const IngressRoute> route_;
  std::optional<IncomingCall> incoming_;
  std::string trace_id_, request_id_;
  int64_t arrival_ = 0;
  absl::Duration time_left_;  // on arrival
  std::shared_ptr<Correlator::Request> request_;
  std::optional<Registration> at_end_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_INGRESS_CALL_H_
