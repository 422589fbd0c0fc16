// For handlers of the callback API: a reactor is finished once, by the handler
// or by the end of the request's context, whichever comes first.
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

// A handle; copies share the reactor. From its making on, the reactor is
// finished through it only. When the context ends first, the reactor is
// finished with the context's status, on the thread that ends it.
//
// Whoever loses must touch neither the reactor nor the request nor the
// response: they may be gone.
//
// It is made in the handler's method or in a reaction, for any of gRPC's server
// reactors, and `ctx` is ContextOf(the server context). Reads and writes that
// are under way fail, as they do with any Finish.
//
// Thread safety: any thread.
class Finisher {
 public:
  template <typename Reactor>
  Finisher(const Context& ctx, Reactor* reactor)
      : state_(std::make_shared<State>()) {
    state_->at_end.emplace(ctx, [state = state_, ctx, reactor] {
      // An end that the handler's own Finish() brought about is none.
      if (EndReasonOf(ctx) == EndReason::kCompleted) return;
      if (state->claimed.exchange(true)) return;
      reactor->Finish(StatusOf(ctx));
    });
    state_->finish = [reactor](const grpc::Status& status) {
      reactor->Finish(status);
    };
  }

  // True once, and not when the context came first: whoever gets it may still
  // fill in the response, and has to finish the reactor.
  [[nodiscard]] bool Claim() const {
    if (state_->claimed.exchange(true)) return false;
    // It owns the state; that is enough of it.
    state_->at_end.reset();
    return true;
  }

  // Finishes the reactor if Claim() is true. Returns that.
  bool Finish(const grpc::Status& status) const {
    if (!Claim()) return false;
    state_->finish(status);
    return true;
  }

 private:
  // Owned by the handles, and by the callback until it has run or is taken off.
  struct State {
    std::atomic<bool> claimed{false};
    std::function<void(const grpc::Status&)> finish;
    std::optional<Registration> at_end;
  };

  std::shared_ptr<State> state_;
};

}  // namespace tether

#endif  // TETHER_GRPC_FINISHER_H_
