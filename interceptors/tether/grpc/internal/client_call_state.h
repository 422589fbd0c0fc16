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

#include "absl/base/thread_annotations.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/client_call_record.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/internal/address_table.h"
#include "tether/internal/mutex.h"

namespace tether::internal {

// The ClientCall and the interceptor of its call share the state. The
// interceptor outlives the ClientCall's own part. For a plain ClientContext,
// only the interceptor owns the state.
//
// Invariants:
//  1. The state holds a reference to the core call only between HoldCoreCall
//     and ReleaseCoreCall, because a held reference keeps an abandoned stream
//     alive.
//  2. A state serves one RPC: TakeFor returns it once. The registry has it,
//     under the address of its ClientContext, until Unregister, which comes
//     before that address can be reused. ~ClientCall calls Unregister. The
//     interceptor, which ~ClientContext always destroys, calls it again: if the
//     ClientCall was destroyed as a ClientContext, nothing of it may be left to
//     a later call at its address. If a state was never taken and its
//     ClientCall was destroyed like that, only the next ClientCall at the
//     address finds it. That is why `new ClientCall` doesn't compile.
//
// Thread safety: any thread. Lock order: while mutex_ is held, nothing is
// called that could block or call back.
class ClientCallState : public std::enable_shared_from_this<ClientCallState>,
                        public AddressTableEntry<ClientCallState> {
 public:
  // `client_context`: the ClientCall; null for a plain ClientContext. It must
  // stay valid until Unregister.
  ClientCallState(Context ctx, const CallOptions& options,
                  grpc::ClientContext* client_context);
  ~ClientCallState();
  ClientCallState(const ClientCallState&) = delete;
  ClientCallState& operator=(const ClientCallState&) = delete;

  // Makes the state of a ClientCall and registers it. It owns itself until
  // Unregister.
  static ClientCallState& Make(Context ctx, const CallOptions& options,
                               grpc::ClientContext* client_context);

  // The state for the RPC that `call` begins: the ClientCall's; for a plain
  // ClientContext a new one, which works for Current(). Null if the state has
  // been taken for this RPC, because another tether interceptor on the channel
  // serves it. Call it on the thread that makes the call.
  static std::shared_ptr<ClientCallState> TakeFor(
      const grpc::ClientContext& call);

  // The state of a ClientCall; of a plain ClientContext, once its RPC has
  // begun; else null.
  static std::shared_ptr<ClientCallState> Of(const grpc::ClientContext& call);

  // Ends the state's work, because the ClientContext is about to be destroyed:
  // Of() no longer finds the state, and the ClientContext and the core call are
  // no longer used. May be called again, but not concurrently, and not from a
  // callback of the context.
  void Unregister();

  // From now on, the end of the context cancels `call`, which is about to
  // start; at once, if the context has ended. Only the first call counts.
  void HoldCoreCall(grpc_call* call);

  // The core call has its status, or will never get one. May be called again.
  void ReleaseCoreCall();

  const Context& context() const { return context_; }
  const CallOptions& options() const { return options_; }
  // For CallOptions::describe_propagation; "" until it is set.
  void set_propagation(std::string description);
  std::string propagation() const;

  ClientCallRecord& record() { return record_; }
  const ClientCallRecord& record() const { return record_; }

 private:
  // From the address of a ClientContext.
  static AddressTable<ClientCallState>& Registry();

  void Register(const grpc::ClientContext& call);
  void CancelAtContextEnd();
  void OnContextEnd();

  const Context context_;
  const CallOptions options_;
  grpc::ClientContext* const client_context_;
  ClientCallRecord record_;

  // Only the thread that has the ClientContext uses these.
  const void* address_ = nullptr;  // in the registry; null if it isn't there
  std::shared_ptr<ClientCallState> self_;  // of a ClientCall's state
  bool taken_ = false;

  mutable Mutex mutex_;
  std::string propagation_ ABSL_GUARDED_BY(mutex_);
  grpc_call* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Once true, call_ stays null. Set under mutex_.
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
