// One call of a client: its context, and what is cancelled when that ends.

#ifndef TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_
#define TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/internal/call_registry.h"
#include "tether/internal/mutex.h"

namespace tether::internal {

// Shared by a ClientCall and the interceptor of its call; the interceptor
// outlives the ClientCall's own members, and alone has one for a plain
// ClientContext.
//
// Invariant: a reference to the core call is held only between Attach and
// Detach, since one that is held keeps an abandoned stream alive.
//
// Thread safety: any thread. Lock order: nothing that could block or call back
// is called with mutex_ held.
class ClientCallState {
 public:
  // `client_context`: of the ClientCall; null for a plain one. It must stay
  // valid until Close.
  ClientCallState(Context ctx, grpc::ClientContext* client_context);
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

  // After this returns, the ClientContext is not touched any more. Not from a
  // callback of the context.
  void Close();

  const Context& context() const { return context_; }

  // From the address of a ClientCall.
  static CallRegistry<ClientCallState>& Registry();

 private:
  void OnContextDone();

  const Context context_;
  grpc::ClientContext* const client_context_;

  Mutex mutex_;
  grpc_call* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::atomic<bool> over_{false};  // set under mutex_: no call from then on

  // Last, so that it goes first: its callback uses the rest.
  std::optional<Registration> registration_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CLIENT_CALL_STATE_H_
