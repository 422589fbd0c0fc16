// SPDX-License-Identifier: Apache-2.0
//
// ServedRequest: what the ingress does with one request, without gRPC. For
// tests.

#ifndef TETHER_SIDECAR_TESTING_SERVED_REQUEST_H_
#define TETHER_SIDECAR_TESTING_SERVED_REQUEST_H_

#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "sidecar/correlator.h"
#include "sidecar/hop_id.h"
#include "sidecar/request.h"
#include "tether/context.h"
#include "tether/end_reason.h"

namespace tether::sidecar::testing {

// Names of a request. "" is none.
struct Names {
  std::string_view trace_id = "";
  std::string_view request_id = "";
};

class ServedRequest {
 public:
  // Begins it, with a context below `parent`.
  ServedRequest(Correlator& correlator, const HopIds& ids,
                const Context& parent, Names names = {},
                absl::Duration timeout = absl::InfiniteDuration())
      : correlator_(correlator),
        id_(ids.Next()),
        scope_(WithTimeout(parent, timeout)),
        request_(correlator.Begin(id_, names.trace_id, names.request_id,
                                  scope_.ctx)) {}
  // Answers it.
  ~ServedRequest() { Answer(); }
  ServedRequest(ServedRequest&&) = delete;
  ServedRequest& operator=(ServedRequest&&) = delete;

  const HopId& id() const { return id_; }
  const Context& context() const { return scope_.ctx; }
  const std::shared_ptr<Request>& request() const { return request_; }

  // Its context ends as IncomingCall::Answer ends it; the table still lists it.
  void Complete() {
    scope_.cancel(WithEndReason(absl::CancelledError("the handler returned"),
                                EndReason::kCompleted));
  }
  void Cancel(std::string_view why = "the caller left") {
    scope_.cancel(WithEndReason(
        absl::CancelledError(absl::string_view(why.data(), why.size())),
        EndReason::kCallerLeft));
  }

  void End(RequestEnd otherwise = RequestEnd::kCompleted,
           absl::Status status = absl::OkStatus()) {
    correlator_.End(request_, otherwise, std::move(status));
    request_ = nullptr;
  }

  // Does nothing if it has ended.
  void Answer() {
    Complete();
    End();
  }
  void Leave() {
    Cancel();
    End();
  }

  // What the Correlator says of a call with its id.
  Correlator::Match FindById() const {
    RequestNames names;
    names.ids = absl::MakeConstSpan(&id_, 1);
    return correlator_.Find(names);
  }

 private:
  Correlator& correlator_;
  const HopId id_;
  const Cancellable scope_;
  std::shared_ptr<Request> request_;
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_SERVED_REQUEST_H_
