// SPDX-License-Identifier: Apache-2.0
//
// Finishes a reactor of the callback API exactly once: by the handler, or when
// the request's context ends, whichever comes first.
//
//   grpc::ServerUnaryReactor* GetStock(grpc::CallbackServerContext* sc,
//                                      const GetStockRequest* request,
//                                      GetStockResponse* response) override {
//     grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
//     tether::Finisher finisher(tether::ContextOf(*sc), reactor);
//     warehouse_.Ask(request->product_id(), [=](int stock) {
//       if (!finisher.Claim()) return;  // the caller has left
//       response->set_stock(stock);
//       reactor->Finish(grpc::Status::OK);
//     });
//     return reactor;
//   }

#ifndef TETHER_GRPC_FINISHER_H_
#define TETHER_GRPC_FINISHER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/status.h"

namespace tether {

// A handle; copies share the reactor. Once a Finisher exists, finish the
// reactor only through it. If the context ends first, the Finisher finishes the
// reactor with the context's status, on the thread that ended the context.
//
// Code that fails to claim the reactor must not touch the reactor, the request
// or the response, because they may be destroyed. If all copies are destroyed
// without a claim, the RPC stays open until its context ends.
//
// Create it in the handler's method or in a reaction, for any of gRPC's server
// reactors; `ctx` must be ContextOf(the server context). Pending reads and
// writes fail, as with any Finish.
//
// Thread safety: any thread.
class Finisher {
 public:
  template <typename Reactor>
  Finisher(const Context& ctx, Reactor* reactor)
      : state_(std::make_shared<State>()) {
    state_->at_end.emplace(ctx, [state = state_, ctx, reactor] {
      // The handler's own Finish() has ended the context.
      if (EndReasonOf(ctx) == EndReason::kCompleted) return;
      if (state->claimed.exchange(true)) return;
      reactor->Finish(StatusOf(ctx));
    });
    state_->finish = [reactor](const grpc::Status& status) {
      reactor->Finish(status);
    };
  }

  // True for the first caller, unless the context ended before. That caller may
  // still fill in the response, and must finish the reactor.
  [[nodiscard]] bool Claim() const {
    if (state_->claimed.exchange(true)) return false;
    // The callback owns a reference to the state; drop it.
    state_->at_end.reset();
    return true;
  }

  // Calls Claim(), and if that is true, finishes the reactor. Returns what
  // Claim() returned.
  bool Finish(const grpc::Status& status) const {
    if (!Claim()) return false;
    state_->finish(status);
    return true;
  }

 private:
  // The handles own it, and so does the callback, until it has run or is
  // removed.
  struct State {
    std::atomic<bool> claimed{false};
    std::function<void(const grpc::Status&)> finish;
    std::optional<Registration> at_end;
  };

  std::shared_ptr<State> state_;
};

}  // namespace tether

#endif  // TETHER_GRPC_FINISHER_H_
