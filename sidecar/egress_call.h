// SPDX-License-Identifier: Apache-2.0
//
// A call that the app makes, on its way to one of its targets.

#ifndef TETHER_SIDECAR_EGRESS_CALL_H_
#define TETHER_SIDECAR_EGRESS_CALL_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sidecar/call_queue.h"
#include "sidecar/correlator.h"
#include "sidecar/hop_id.h"
#include "sidecar/proxied_call.h"
#include "sidecar/request_end.h"
#include "sidecar/routes.h"
#include "tether/context.h"
#include "tether/grpc/outgoing_call.h"

namespace tether::sidecar {

// If the call is made for requests that are alive, it gets a context that has
// their deadline and is ended when they are cancelled, but not when they are
// answered: a call that the app doesn't wait for runs on. So that context is
// no child of theirs.
class EgressCall final : public ProxiedCall {
 public:
  EgressCall(CallQueue& queue, grpc::AsyncGenericService& service,
             std::shared_ptr<const Routes<EgressRoute>> routes,
             std::shared_ptr<Shared> shared);
  ~EgressCall() override;

 private:
  void OnAccepted() override;
  void AcceptNext() override;
  void OnCallerGone() override;
  void OnAnswer(grpc::Status& status, bool is_callees, bool after_messages,
                Metadata& trailing) override;
  int64_t MostInFlight() const override { return route_->most_in_flight; }

  // The headers to send on, without ids, which are added to ids_.
  Metadata TakeHeaders();
  void Find(Metadata metadata);
  // Sends the call on as it is.
  void Pass(const Metadata& metadata);
  // Sends it on for requests that are alive.
  void PassFor(Requests requests, Metadata metadata);
  void SetAuthority();
  // Of the requests, in another context than theirs.
  Cancellable ContextFor(const Requests& requests) const;
  // All of them have ended, none by completion. Any thread.
  void OnRequestsEnded(RequestEnd end, const absl::Status& status);
  void Log(const grpc::Status& status);

  const std::shared_ptr<const Routes<EgressRoute>> routes_;
  const std::shared_ptr<Shared> shared_;
  std::shared_ptr<const EgressRoute> route_;
  Mode mode_ = Mode::kObserve;
  std::vector<HopId> ids_;
  std::string trace_id_, request_id_;
  std::string_view correlated_;  // for the access log
  bool is_cut_ = false;
  int64_t arrival_ = 0;

  std::optional<Cancellable> made_;
  std::optional<OutgoingCall> outgoing_;
  // The status of its requests, which have ended the call. Set before made_ is
  // cancelled, on any thread; read after cut_ is gone.
  std::optional<absl::Status> cut_with_;
  // The last member, since its callback uses the others.
  std::optional<CutWhenAllEnd> cut_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_EGRESS_CALL_H_
