// One call of a client: its context, and what is cancelled when that ends.

#ifndef TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_
#define TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/internal/call_registry.h"
#include "tether/grpc/internal/hop_record.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/report_metadata.h"
#include "tether/internal/mutex.h"

namespace tether::internal {

// Shared by a ClientCall and the interceptor of its call; the interceptor
// outlives the ClientCall's own part, and alone has one for a plain
// ClientContext.
//
// Invariants:
//  1. A reference to the core call is held only between Attach and Detach,
//  since
//     one that is held keeps an abandoned stream alive.
//  2. A state serves one RPC: TakeFor hands it out once. It is in the registry,
//     under the address of its ClientContext, until Leave; and that comes
//     before the address is anybody else's. It comes from ~ClientCall, and
//     again from the interceptor, which ~ClientContext destroys in any case:
//     somebody may have destroyed the ClientCall as a ClientContext, and then
//     nothing of it may be left to a later call at its address. A state that
//     was never taken, and whose ClientCall went like that, is found out by the
//     next ClientCall there only; which is why `new ClientCall` doesn't
//     compile.
//
// Thread safety: any thread. Lock order: nothing that could block or call back
// is called with mutex_ held.
class ClientCallState : public std::enable_shared_from_this<ClientCallState> {
 public:
  // `client_context`: of the ClientCall; null for a plain one. It must stay
  // valid until Close.
  ClientCallState(Context ctx, const CallOptions& options,
                  grpc::ClientContext* client_context);

  // For a ClientCall: makes one, which is in the registry, and is owned by
  // being there.
  static ClientCallState& Make(Context ctx, const CallOptions& options,
                               grpc::ClientContext* client_context);

  // The one that serves the RPC that begins with `call`: a ClientCall's own;
  // for a plain ClientContext a new one, which works for Current(). Null if one
  // has been taken for this RPC: by another interceptor of tether's on the
  // channel, which has done all there is to do. On the thread that makes the
  // call.
  static std::shared_ptr<ClientCallState> TakeFor(
      const grpc::ClientContext& call);

  // The ClientContext goes: nobody finds the state by its address any more.
  // Ends with Close and Detach. May come again. Not from two threads at once.
  void Leave();
  ~ClientCallState();
  ClientCallState(const ClientCallState&) = delete;
  ClientCallState& operator=(const ClientCallState&) = delete;

  // Starts to act on the context's end.
  void Start();

  // The core call is about to start; from now on it is what ends when the
  // context does (at once, if that has).
  void Attach(grpc_call* call);

  // The call has got its status, or never will.
  void Detach();

  // The stub has been called: `method` is what for.
  void Prepared(std::string_view method);

  // The call begins; that may be long after. Once. `own_left`: until the
  // ClientContext's own deadline.
  void Started(absl::Duration own_left);

  // Somebody has called the ClientContext's TryCancel. Any thread.
  void TriedToCancel() { tried_to_cancel_ = true; }

  // The status has come. Where the context was the reason, it becomes the
  // context's, with the name of the hop that used the time up. Keeps the
  // report, and hands it to the hop that the call was made by. `own_left` as
  // for Started.
  void Settle(const ReceivedMetadata::Map& trailing_metadata,
              const ReportLimits& limits, absl::Duration own_left,
              grpc::Status& status);

  // As ClientCall::report().
  v1::CallReport report() const;

  // After this returns, the ClientContext is not touched any more. Not from a
  // callback of the context.
  void Close();

  const Context& context() const { return context_; }
  const CallOptions& options() const { return options_; }

  // The state of a ClientCall; of a plain ClientContext, from its RPC's begin;
  // else null.
  static std::shared_ptr<ClientCallState> Of(const grpc::ClientContext& call);

 private:
  // From the address of a ClientContext.
  static CallRegistry<ClientCallState>& Registry();

  void Enter(const grpc::ClientContext& call);
  void OnContextDone();

  // When the call was over: a deadline, and the context's end, end it, though
  // its status may be read long after.
  int64_t EndOf(int64_t now_us) const;
  // Names and times.
  v1::CallReport Facts(int64_t duration_us) const;

  const Context context_;
  const CallOptions options_;
  // The hop that makes the call, where it keeps a record.
  const HopRecord* const record_;
  // Set before the call starts. gRPC's own view of the name of a method is
  // valid only while the stub is called, where that is a GenericStub.
  std::string method_;
  uint64_t id_in_record_ = 0;
  int64_t start_us_ = 0;
  absl::Duration left_ = absl::InfiniteDuration();  // by either deadline
  grpc::ClientContext* const client_context_;

  // These are of the thread that has the ClientContext.
  const void* address_ = nullptr;  // in the registry; null when it has left
  std::shared_ptr<ClientCallState> self_;  // of a ClientCall's, until Leave
  bool taken_ = false;

  mutable Mutex mutex_;
  grpc_call* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Once the call is settled: either a report, or what one can be made of.
  std::unique_ptr<const v1::CallReport> report_ ABSL_GUARDED_BY(mutex_);
  // Of a call without a report; -1: not settled.
  int64_t duration_us_ ABSL_GUARDED_BY(mutex_) = -1;
  bool settled_ = false;           // of those who settle it, and the destructor
  std::atomic<bool> over_{false};  // set under mutex_: no call from then on
  std::atomic<bool> tried_to_cancel_{false};
  std::atomic<int64_t> context_end_us_{0};  // 0: it hasn't ended

  // Last, so that it goes first: its callback uses the rest.
  std::optional<Registration> registration_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_
