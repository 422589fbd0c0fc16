// SPDX-License-Identifier: Apache-2.0
//
// The life of one call of a client: which context it works for, and the core
// call that is cancelled when the context ends.

#ifndef TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_
#define TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/client_call_record.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/internal/address_table.h"
#include "tether/internal/spin_lock.h"

namespace tether::internal {

// The state is also the interceptor of the call (ClientInterceptor in
// client.cc): gRPC owns it from Take() on, and destroys it in ~ClientContext.
// The state of a ClientCall is in the ClientCall's own memory. That of a plain
// ClientContext is on the heap, and made when its RPC begins. The state of an
// OutgoingCall (outgoing_call.cc) is no interceptor. The OutgoingCall owns it,
// and takes it at once.
//
// Invariants:
//  1. The state of a plain ClientContext holds a reference to the core call
//     between HoldCoreCall and ReleaseCoreCall, and not longer, because a held
//     reference keeps an abandoned stream alive. ~ClientContext drops its own
//     reference before it destroys the interceptor, and the context may end
//     in between.
//  2. The state of a ClientCall holds none: ~ClientCall comes before
//     ~ClientContext, and calls Unregister, which waits for a callback that is
//     running (Registration::Stop). So the callback finds the core call alive,
//     or none. The same goes for ~OutgoingCall.
//  3. A state serves one RPC: Take returns true once. The registry has it,
//     under the address of its ClientContext, until Unregister, which comes
//     before that address can be reused. ~ClientCall calls Unregister, and then
//     destroys the state itself if it was never taken. The state's destructor
//     calls it again: if the ClientCall was destroyed as a ClientContext,
//     nothing of it may be left to a later call at its address.
//  4. The state of a ClientCall outlives the destructor of ClientCall, in bytes
//     that have no destructor themselves, and ends in that of its base.
//  5. If a state was never taken and its ClientCall was destroyed as a
//     ClientContext, only the next ClientCall at the address finds it
//     (ClearPlace). Meanwhile its context refers to memory that may be gone.
//     That is why `new ClientCall` doesn't compile.
//
// A callback of the context may destroy the ClientCall (gRPC may run completed
// callbacks inside grpc_call_cancel_with_status). Then Stop doesn't wait, and
// OnContextEnd uses nothing of the state after that.
//
// Thread safety: any thread. Lock order: while lock_ is held, nothing is
// called that could block or call back.
class ClientCallState : public AddressTableEntry<ClientCallState> {
 public:
  // `client_context`: the ClientCall, or that of an OutgoingCall; null for a
  // plain ClientContext. It must stay valid until Unregister. `in_hop_record`:
  // whether the record of the request for which the call is made gets it.
  ClientCallState(Context ctx, CallOptions options,
                  grpc::ClientContext* client_context,
                  bool in_hop_record = true);
  virtual ~ClientCallState();
  ClientCallState(const ClientCallState&) = delete;
  ClientCallState& operator=(const ClientCallState&) = delete;

  // The state of a ClientCall or an OutgoingCall; of a plain ClientContext,
  // once its RPC has begun; else null. The state may be used while `call`
  // exists.
  static ClientCallState* Of(const grpc::ClientContext& call);

  // The context of the state that Of returns. Any thread.
  static std::optional<Context> ContextOf(const grpc::ClientContext& call);

  // A ClientCall is about to make its state. Destroys one that is still there
  // (invariant 5).
  static void ClearPlace(const grpc::ClientContext& call);

  // Starts the state's work, once: Of finds it for `call`, and the end of the
  // context ends the call.
  void Register(const grpc::ClientContext& call);

  // True for the first caller, which is the RPC's interceptor or the
  // OutgoingCall. Otherwise another of these serves the RPC. Call it on the
  // thread that makes the call.
  bool Take() { return !std::exchange(taken_, true); }
  bool taken() const { return taken_; }

  // Ends the state's work, because the ClientContext is about to be destroyed:
  // Of() no longer finds the state, and the ClientContext and the core call are
  // no longer used. May be called again, but not concurrently, and not from a
  // callback of the context.
  void Unregister();

  // From now on, the end of the context cancels `call`, which is about to
  // start; at once, if the context has ended. Only the first call counts.
  void HoldCoreCall(grpc_call* call);

  // Returns true if the context has ended. Then the core call, if it is held,
  // is cancelled, even if the thread that ends the context hasn't done so yet.
  bool CancelIfEnded();

  // The core call has its status, or will never get one. May be called again.
  void ReleaseCoreCall();

  const Context& context() const { return context_; }
  const CallOptions& options() const { return options_; }
  // For CallOptions::describe_propagation; "" until it is set. Only the first
  // description counts.
  void set_propagation(std::string description);
  std::string propagation() const;

  // Tells the observers that its RPC of `method` begins, on this thread.
  void TellObservers(std::string_view method) const;

  // Calls `look` with each state that is registered, under a lock: see
  // AddressTable::ForEach.
  template <typename Look>
  static void ForEach(Look look) {
    Registry().ForEach(look);
  }

  ClientCallRecord& record() { return record_; }
  const ClientCallRecord& record() const { return record_; }

 private:
  // From the address of a ClientContext.
  static AddressTable<ClientCallState>& Registry();

  bool holds_reference() const { return client_context_ == nullptr; }
  void OnContextEnd();

  const Context context_;
  const CallOptions options_;
  grpc::ClientContext* const client_context_;
  ClientCallRecord record_;

  // Only the thread that has the ClientContext uses these.
  const void* address_ = nullptr;  // in the registry; null if it isn't there
  bool taken_ = false;

  // Contended only if the context ends while the call begins or ends.
  mutable SpinLock lock_;
  std::unique_ptr<const std::string> propagation_ ABSL_GUARDED_BY(lock_);
  grpc_call* call_ ABSL_GUARDED_BY(lock_) = nullptr;
  // Once true, call_ stays null. Set under lock_.
  std::atomic<bool> released_{false};

  // The last member, because its callback uses the others.
  std::optional<Registration> registration_;
};

// For an interceptor that sees the status of `call` before tether's own does:
// the outcome that tether's own finds. nullopt if tether's serves no such call.
// Call it in the hook in which `received` has arrived.
TETHER_EXPORT std::optional<ClientOutcome> OutcomeOf(
    const grpc::ClientContext& call,
    const ReceivedMetadata::Map& trailing_metadata,
    const grpc::Status& received);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_
