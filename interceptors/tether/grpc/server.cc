#include "tether/grpc/server.h"

#include <atomic>
#include <optional>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/current.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/propagation/default.h"
#include "tether/propagation/edge.h"

namespace tether {

namespace {

using grpc::experimental::InterceptionHookPoints;

class ServerInterceptor final : public grpc::experimental::Interceptor {
 public:
  ServerInterceptor(grpc::experimental::ServerRpcInfo* info,
                    std::shared_ptr<internal::ServerCall> call)
      : info_(info), call_(std::move(call)) {}
  ~ServerInterceptor() override {
    call_->EndOfHandler();
    call_->Forget();
  }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (stands_aside_) return methods->Proceed();
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      const bool after_messages =
          sent_message_.load(std::memory_order_relaxed) ||
          methods->QueryInterceptionHookPoint(
              InterceptionHookPoints::PRE_SEND_MESSAGE);
      call_->WriteReport(info_->method(), status, after_messages,
                         *methods->GetSendTrailingMetadata());
      if (std::optional<grpc::Status> discreet = call_->Discreet(status)) {
        methods->ModifySendStatus(*discreet);
      }
      call_->EndOfHandler();
    }
    NoteFailure(methods);
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_CLOSE)) {
      // Not necessarily after the handler returned, and never a reason to ask
      // gRPC whether the call was cancelled: that comes back here. If the
      // handler did return, the context has ended with that reason.
      call_->EndOfCall();
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      grpc::ServerContextBase* server_context = info_->server_context();
      // Only the callback API sees POST_RECV_CLOSE the moment the call ends.
      // (The exact type is asked for first because that is cheap.)
      const bool callback_api =
          typeid(*server_context) != typeid(grpc::ServerContext) &&
          dynamic_cast<grpc::CallbackServerContext*>(server_context) != nullptr;
      // gRPC's `info_` has the interceptors of this RPC.
      if (!call_->Begin(info_, server_context, info_->method(),
                        *methods->GetRecvInitialMetadata(), callback_api)) {
        stands_aside_ = true;
        return methods->Proceed();
      }
      // The handler, or the callback API's handler method, runs inside Proceed,
      // and `this` and `methods` may be gone when that returns.
      ScopedContext current(call_->context());
      methods->Proceed();
      return;
    }
    methods->Proceed();
  }

 private:
  // An operation of the handler's has failed, since the call is over: so that
  // the context says it before the handler hears of the failure.
  void NoteFailure(grpc::experimental::InterceptorBatchMethods* methods) {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_MESSAGE)) {
      // No message: the caller has sent all, or the call is over. Core tells
      // the two apart; gRPC's own IsCancelled() relies on the same.
      if (methods->GetRecvMessage() != nullptr) return;
      grpc_call* call = info_->server_context()->c_call();
      if (call != nullptr && grpc_call_failed_before_recv_message(call) != 0) {
        call_->OperationFailed();
      }
      return;
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      sent_message_.store(true, std::memory_order_relaxed);
      writing_.store(methods, std::memory_order_release);
      return;
    }
    // Core cancels a call whose message could not be sent, if it isn't over by
    // itself. Async streams have no POST_SEND_MESSAGE (gRPC forgets the message
    // before it asks whether there was one): there the batch comes again,
    // without any hook.
    if (writing_.load(std::memory_order_acquire) == methods) {
      writing_.store(nullptr, std::memory_order_release);
      if (!methods->GetSendMessageStatus()) call_->OperationFailed();
    }
  }

  grpc::experimental::ServerRpcInfo* const info_;
  const std::shared_ptr<internal::ServerCall> call_;
  // Another interceptor of tether's serves the call. Set before the handler
  // runs.
  bool stands_aside_ = false;
  // The batch whose message is on its way. There is one at a time.
  std::atomic<const void*> writing_{nullptr};
  std::atomic<bool> sent_message_{false};
};

// Fills in what the options leave open.
ServerOptions WithDefaults(ServerOptions options) {
  if (options.propagator == nullptr) options.propagator = DefaultPropagator();
  if (options.edge.has_value()) {
    options.propagator =
        std::make_shared<EdgePropagator>(options.propagator, *options.edge);
  }
  if (options.edge.has_value() && !options.time.max_timeout.has_value()) {
    options.time.max_timeout = absl::Minutes(1);
  }
  if (!options.report.when.has_value()) {
    options.report.when = options.edge.has_value()
                              ? ReportOptions::When::kNever
                              : ReportOptions::When::kWhenItMatters;
  }
  return options;
}

}  // namespace

ServerInterceptorFactory::ServerInterceptorFactory(ServerOptions options)
    : shared_(internal::ServerShared::Make(WithDefaults(std::move(options)))) {}

ServerInterceptorFactory::~ServerInterceptorFactory() = default;

grpc::experimental::Interceptor*
ServerInterceptorFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new ServerInterceptor(info,
                               std::make_shared<internal::ServerCall>(shared_));
}

void InstallServer(grpc::ServerBuilder& builder, ServerOptions options) {
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      creators;
  creators.push_back(
      std::make_unique<ServerInterceptorFactory>(std::move(options)));
  builder.experimental().SetInterceptorCreators(std::move(creators));
}

Context ContextOf(const grpc::ServerContextBase& server_context) {
  return internal::ServerCall::Registry().Find(
      &server_context, [](const internal::ServerCall* call) {
        return call == nullptr ? Background() : call->context();
      });
}

}  // namespace tether
