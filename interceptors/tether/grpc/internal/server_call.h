// SPDX-License-Identifier: Apache-2.0
//
// One RPC on a server: its context, and the events that end the context.

#ifndef TETHER_GRPC_INTERNAL_SERVER_CALL_H_
#define TETHER_GRPC_INTERNAL_SERVER_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/export.h"
#include "tether/grpc/in_flight.h"
#include "tether/grpc/internal/delay_queue.h"
#include "tether/grpc/internal/delayed.h"
#include "tether/grpc/internal/hop_record.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/policy_table.h"
#include "tether/grpc/internal/request_budget.h"
#include "tether/grpc/internal/server_state.h"
#include "tether/grpc/request_summary.h"
#include "tether/internal/address_table.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/propagation/log_fields.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// Thread safety: Begin is called first, once. After that, any thread.
//
// Lifetime: shared, because an interceptor may be destroyed while a thread that
// observes the context is about to start the watch.
//
// Lock order: scopes' locks may be taken under `mutex_` (OnOperationFailed),
// but no other lock. No user code runs under it, and of gRPC only
// grpc_call_ref.
//
// The core call: gRPC drops its last reference to it after it has destroyed the
// interceptors of the RPC, in every style (core_call_life_test.cc). The
// interceptor's destructor calls Unregister, which clears `call_` under
// `mutex_`. So `call_` needs no reference of its own. A thread that uses the
// core call outside the hooks takes one under `mutex_`, while `call_` is set.
class ServerCall : public std::enable_shared_from_this<ServerCall>,
                   public AddressTableEntry<ServerCall> {
 public:
  explicit ServerCall(std::shared_ptr<ServerState> server);
  ~ServerCall();
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  // Whether the RPC is known to be unary. Called before Begin.
  void SetIsUnary(bool is_unary) { is_unary_ = is_unary; }

  // Makes the context from the headers that have arrived, and lets ContextOf
  // find it.
  //
  // `rpc` is the address of an object that belongs to this RPC for as long as
  // this ServerCall lives. Returns false, and does nothing, if another
  // ServerCall has begun for `rpc`: the one of another tether interceptor on
  // the server.
  //
  // `end_is_pushed`: OnCallEnded will be called promptly when the call ends
  // (the callback API). Otherwise this watches for the end of the call once the
  // context is observed.
  bool Begin(const void* rpc, grpc::ServerContextBase* server_context,
             std::string_view method, const ReceivedMetadata& headers,
             bool end_is_pushed);

  // Called when `status` is about to be sent. Adds the report, if one is to be
  // sent. Must be called before OnHandlerEnded.
  void WriteReport(std::string_view method, const grpc::Status& status,
                   bool after_messages, SentMetadata::Map& trailing_metadata);

  // What to send instead of the handler's `status`; nullopt: nothing else. Must
  // be called before OnHandlerEnded.
  //
  // If the server is drained, a CANCELLED has the drain's code (WithDrainCode).
  // At the edge (ServerOptions::edge), the message of a DEADLINE_EXCEEDED
  // doesn't name the services behind this one.
  std::optional<grpc::Status> StatusToSend(const grpc::Status& status) const;

  // The status that the caller gets if the handler answers with `status`: that
  // of StatusToSend, unless tether has cut the call off before. Must be called
  // before OnHandlerEnded.
  grpc::Status StatusOfAnswer(const grpc::Status& status) const;

  // See IncomingCall::StatusOfEnd.
  grpc::Status StatusOfEnd(std::string_view method) const;

  // The call is over, or will be in a moment: tells ServerOptions::on_finish,
  // if it is set. `answer` is the code of the status that is about to be sent;
  // nullopt: there is none. Only the first call has an effect. Must be called
  // after OnHandlerEnded, and not concurrently with the other functions that
  // gRPC's hooks call.
  void Finish(std::optional<grpc::StatusCode> answer) noexcept;

  // For Inspect(): what is known of the request at `now`, on the real steady
  // clock. nullopt before Begin has returned. Any thread; the caller holds a
  // reference.
  std::optional<InFlightRequest> Describe(Nanos now);
  // Identifies the request in its context and in all that are derived from it.
  // Null if its context doesn't have it. Requires that Describe returns one.
  const void* id() const { return MethodOf(context_).data(); }

  // Called around the rest of the hook for the headers, which runs a sync
  // handler. Not for the callback API.
  void OnProceed() { SetStyle(ApiStyle::kSync); }
  void OnProceeded() {
    if (handler_ended_.load(std::memory_order_relaxed)) return;
    SetStyle(ApiStyle::kAsync);
  }
  void SetStyle(ApiStyle style) {
    style_.store(style, std::memory_order_relaxed);
  }

  // The three events that end the context. They have no effect on a context
  // that has ended. ContextOf still finds it.

  // The handler has returned, or finished its reactor. Runs callbacks.
  void OnHandlerEnded();

  // The call was cancelled, its connection was lost, or it is over because the
  // handler has returned. Runs callbacks.
  //
  // EndOfServerCall (call_outcome.h) decides whether the caller's deadline was
  // the reason.
  void OnCallEnded();

  // An operation of the handler failed because the call is over. The context is
  // done when this returns, for the reason that OnCallEnded gives. Its
  // callbacks don't run here but at the next of the other two events: this may
  // be the handler's thread, which may hold locks that the callbacks want.
  void OnOperationFailed();

  // Ends the call on behalf of a handler that doesn't end it. The caller gets
  // `status`. The handler's current and later gRPC operations fail. Has no
  // effect on a call that is over.
  void CancelCall(const grpc::Status& status);

  // Called when the interceptor is destroyed. ContextOf no longer finds the
  // context.
  void Unregister();

  // Whether the request was rejected for TimePolicy::min_budget.
  bool was_turned_away() const { return shed_.load(std::memory_order_relaxed); }
  bool IsOf(const ServerState* server) const { return server_.get() == server; }

  const Context& context() const { return context_; }
  const ServerOptions& options() const { return server_->options; }

  // By the address of gRPC's server context.
  static AddressTable<ServerCall>& Registry();

 private:
  // The headers are here, or will never be. The first call counts.
  void NoteArrival();

  // The steps of Begin, in this order.
  bool Register(const void* rpc, grpc::ServerContextBase* server_context);
  void MakeContext(Nanos now, bool end_is_pushed);
  void AddRecordAndValues(std::string_view method,
                          const ReceivedMetadata& headers);
  void ScheduleCancelCall();
  void TurnAwayIfTooLate(std::string_view method, absl::Duration min_budget,
                         grpc_call* call);

  void ExtractValues(const ReceivedMetadata& headers) noexcept;

  // Calls CancelCall(status_of()) after `delay`.
  void CancelCallAfter(absl::Duration delay,
                       absl::AnyInvocable<grpc::Status()> status_of);

  // The watch for the call's end costs as much as a whole RPC with an empty
  // handler, so requests that are done within EndWatcher::kDelay have none. In
  // that time, Done() and its like only compare the clock. Afterwards they
  // start the watch, as a wait, a callback or a child does at any time; but if
  // these come that early, the watch is made kDelay later. A caller that left
  // before is noticed then: core ends a watch on an ended call at once.
  //
  // Called when the context is first observed, apart from that.
  void OnObserved();
  void StartWatch();
  struct DelayedWatch final : DelayQueue::Entry {
    explicit DelayedWatch(ServerCall* its_call) : call(its_call) {}
    std::shared_ptr<void> Hold() noexcept override {
      return call->weak_from_this().lock();
    }
    void OnDue() override { call->StartWatch(); }

    ServerCall* const call;
  };

  bool IsReportDue(grpc::StatusCode code, bool context_ended) const;
  // Requires record_.
  v1::BudgetReport MakeReport(std::string_view method, grpc::StatusCode code,
                              bool context_ended) const;

  void BeginSummary(std::string_view method,
                    const grpc::ServerContextBase& server_context);
  grpc::StatusCode CodeOfAnswer(std::optional<grpc::StatusCode> answer,
                                EndReason reason) const;
  // The caller's address; "" if the call is over.
  std::string Peer();
  void TellObservers(std::optional<grpc::StatusCode> answer) const;
  // Something else than its deadline is about to end the context, unless it has
  // ended.
  void NoteEnd();
  tether::DeadlineOwner OwnerOfDeadline() const;
  // How long ago the context ended, at `now`. `reason` is why. nullopt if it
  // isn't known.
  std::optional<Nanos> EndedAgo(Nanos now, EndReason reason) const;

  // The context has ended: the watch is no longer needed.
  void DropWatch();
  // The call has ended: releases everything that belongs to it.
  void DropCall();
  // Runs the callbacks that OnOperationFailed left.
  void RunDeferredCallbacks();

  const std::shared_ptr<ServerState> server_;
  // The address of gRPC's context, which may be destroyed already. Used only as
  // a key.
  const void* address_ = nullptr;
  const void* rpc_ = nullptr;
  bool has_arrived_ = false;
  bool is_finished_ = false;
  std::atomic<bool> handler_ended_{false};
  CancelFunc cancel_;
  // The context that cancel_ ends. Set before it can be observed and never
  // changed, because the watch may read it while Begin still runs.
  Context scope_;
  Context context_;  // scope_ with the values

  // For the report. Null if none is ever sent.
  const HopRecord* record_ = nullptr;  // in context_
  int32_t previous_attempts_ = 0;

  Nanos arrival_ = 0;     // on the real clock
  RequestBudget budget_;  // on arrival
  bool is_unary_ = false;
  bool end_is_pushed_ = false;
  // Once true, the members above are constant.
  std::atomic<bool> has_begun_{false};
  std::atomic<ApiStyle> style_{ApiStyle::kAsync};
  std::atomic<bool> watched_{false};
  std::atomic<bool> shed_{false};
  // When the call's end or the drain ended the context; 0: it didn't, yet.
  std::atomic<Nanos> ended_at_{0};
  // When an operation of the handler failed because the call was over; 0: none
  // has.
  std::atomic<Nanos> released_at_{0};

  // For on_finish. Null if it isn't set, or has been called.
  std::unique_ptr<RequestSummary> summary_;
  // The code with which this ended the call on behalf of the handler; OK: it
  // didn't.
  std::atomic<grpc::StatusCode> cut_off_with_{grpc::StatusCode::OK};

  // Set before deferred_ may be. Until then, nobody looks for callbacks there.
  std::atomic<bool> may_have_deferred_{false};

  Mutex mutex_;
  // Null before Begin, and once the call has ended, as far as that is known. (A
  // reply may be blocked after the handler returned.)
  grpc_call* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool context_ended_ ABSL_GUARDED_BY(mutex_) = false;
  // True if delayed_watch_ must be taken back before it is destroyed.
  bool is_watch_delayed_ ABSL_GUARDED_BY(mutex_) = false;
  DelayedWatch delayed_watch_{this};
  std::unique_ptr<Delayed> delayed_cancel_ ABSL_GUARDED_BY(mutex_);
  DeferredCallbacks deferred_ ABSL_GUARDED_BY(mutex_);
};

// ServerCall::StatusOfAnswer of the call that `server_context` serves. `status`
// itself if tether isn't installed. For the OpenTelemetry bridge.
TETHER_EXPORT grpc::Status StatusOfAnswer(
    const grpc::ServerContextBase& server_context, const grpc::Status& status);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_SERVER_CALL_H_
