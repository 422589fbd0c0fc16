// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/server.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "tether/current.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/end_watcher.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/packed_request.h"
#include "tether/grpc/internal/raw_headers.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/grpc/internal/server_state.h"
#include "tether/grpc/internal/warn.h"
#include "tether/internal/spread.h"

namespace tether {

namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using internal::ServerCall;

bool Has(InterceptorBatchMethods* methods, InterceptionHookPoints hook) {
  return methods->QueryInterceptionHookPoint(hook);
}

// Only the callback API gets POST_RECV_CLOSE at the moment when the call ends.
bool IsCallbackApi(grpc::ServerContextBase& server_context) {
  // The comparison of the exact types comes first because it is cheap.
  return typeid(server_context) != typeid(grpc::ServerContext) &&
         dynamic_cast<grpc::CallbackServerContext*>(&server_context) != nullptr;
}

// True if `status` is gRPC's own for a request without the message that should
// come with its headers: its caller has left before. If gRPC can't read a
// message, its status has other texts.
bool IsLackOfMessage(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::INTERNAL &&
         (status.error_message() == "No payload" ||
          status.error_message() == "Couldn't initialize byte buffer reader");
}

// Tells whether an interceptor is destroyed on this thread in the lifetime of
// an object on the stack. Uses neither after that.
class DestructionProbe {
 public:
  explicit DestructionProbe(const void* interceptor)
      : interceptor_(interceptor), outer_(innermost_) {
    innermost_ = this;
  }
  ~DestructionProbe() { innermost_ = outer_; }
  DestructionProbe(const DestructionProbe&) = delete;
  DestructionProbe& operator=(const DestructionProbe&) = delete;

  bool destroyed() const { return destroyed_; }

  static void NoteDestruction(const void* interceptor) {
    for (DestructionProbe* p = innermost_; p != nullptr; p = p->outer_) {
      if (p->interceptor_ == interceptor) p->destroyed_ = true;
    }
  }

 private:
  static thread_local DestructionProbe* innermost_;

  const void* const interceptor_;
  DestructionProbe* const outer_;
  bool destroyed_ = false;
};

thread_local DestructionProbe* DestructionProbe::innermost_ = nullptr;

// Made only by InterceptedCall, in the call's memory.
class ServerInterceptor final : public grpc::experimental::Interceptor {
 public:
  ServerInterceptor(grpc::experimental::ServerRpcInfo* info, ServerCall* call)
      : info_(info), call_(call) {}
  ~ServerInterceptor() override {
    DestructionProbe::NoteDestruction(this);
    call_->OnHandlerEnded();
    call_->Finish(/*answer=*/std::nullopt);
    call_->Unregister();
  }

  static void* operator new(size_t) = delete;
  // gRPC deletes the interceptor, whose memory is the call's. Runs after the
  // destructor, and drops the reference that kept the call alive for it.
  // NOLINTNEXTLINE(misc-new-delete-overloads): made in place
  static void operator delete(void* interceptor);

  void Intercept(InterceptorBatchMethods* methods) override {
    if (stands_aside_) return methods->Proceed();
    if (Has(methods, InterceptionHookPoints::PRE_SEND_STATUS)) {
      OnSendStatus(methods);
    }
    if (Has(methods, InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      return OnHeaders(methods);
    }
    NoteFailedOperation(methods);
    if (Has(methods, InterceptionHookPoints::POST_RECV_CLOSE)) {
      // This may come before the handler returns. If the handler has returned,
      // the context has ended for that reason. Never ask gRPC here whether the
      // call was cancelled: that leads back into this hook.
      call_->OnCallEnded();
    }
    methods->Proceed();
  }

 private:
  void OnHeaders(InterceptorBatchMethods* methods) {
    const bool is_callback_api = IsCallbackApi(*info_->server_context());
    if (!Begin(methods, is_callback_api)) {
      stands_aside_ = true;
      return methods->Proceed();
    }
    // For RPCs with one message, it comes with the headers.
    lacks_message_ = Has(methods, InterceptionHookPoints::POST_RECV_MESSAGE) &&
                     methods->GetRecvMessage() == nullptr;
    // The handler, or the handler method of the callback API, runs inside
    // Proceed. `this` and `methods` may be destroyed when Proceed returns.
    ScopedContext current(call_->context());
    const DestructionProbe probe(this);
    if (is_callback_api) return methods->Proceed();
    // Kept, since another thread may destroy an async server's call meanwhile.
    const std::shared_ptr<ServerCall> kept = call_->shared_from_this();
    kept->OnProceed();
    methods->Proceed();
    kept->OnProceeded();
    // Only in a sync server is the call over now.
    if (!probe.destroyed()) internal::EndWatcher::Poll();
  }

  // The headers are views, so they must not be used after this hook.
  bool Begin(InterceptorBatchMethods* methods, bool is_callback_api) {
    grpc::ServerContextBase& server_context = *info_->server_context();
    const grpc_metadata_array* raw = internal::RawHeadersOf(server_context);
    internal::ReceivedMetadata headers =
        raw != nullptr
            ? internal::ReceivedMetadata(*raw)
            : internal::ReceivedMetadata(*methods->GetRecvInitialMetadata());
    if (call_->options().packed) {
      must_say_that_it_unpacks_ = internal::UnpackHeaders(headers);
    }
    // gRPC's `info_` owns the interceptors of this RPC.
    call_->SetIsUnary(info_->type() ==
                      grpc::experimental::ServerRpcInfo::Type::UNARY);
    return call_->Begin(info_, &server_context, info_->method(), headers,
                        is_callback_api);
  }

  // The handler has answered: the call's method and its final status are known
  // here, so this is the place to count calls per method. Calls that end
  // without an answer, as when an async server drops them, never get here.
  void OnSendStatus(InterceptorBatchMethods* methods) {
    grpc::Status status = methods->GetSendStatus();
    if (auto instead = call_->StatusToSend(status)) {
      methods->ModifySendStatus(*instead);
      status = *std::move(instead);
    }
    const bool after_messages =
        sent_message_.load(std::memory_order_relaxed) ||
        Has(methods, InterceptionHookPoints::PRE_SEND_MESSAGE);
    // Before the report, which takes the room that is left.
    if (must_say_that_it_unpacks_) {
      internal::SayThatItUnpacks(*methods->GetSendTrailingMetadata());
    }
    // No handler has run, and nobody waits for gRPC's answer.
    const bool has_left = lacks_message_ && IsLackOfMessage(status);
    if (has_left) call_->OnCallEnded();
    call_->WriteReport(info_->method(), status, after_messages,
                       *methods->GetSendTrailingMetadata());
    call_->OnHandlerEnded();
    call_->Finish(has_left ? std::nullopt
                           : std::make_optional(status.error_code()));
  }

  // Ends the context before the handler sees that one of its operations has
  // failed because the call is over.
  void NoteFailedOperation(InterceptorBatchMethods* methods) {
    if (Has(methods, InterceptionHookPoints::POST_RECV_MESSAGE)) {
      // Without a message, either the caller has sent all or the call is over.
      // Core tells the two apart; gRPC's own IsCancelled() relies on the same.
      if (methods->GetRecvMessage() != nullptr) return;
      grpc_call* call = info_->server_context()->c_call();
      if (call != nullptr && grpc_call_failed_before_recv_message(call) != 0) {
        call_->OnOperationFailed();
      }
      return;
    }
    if (Has(methods, InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      sent_message_.store(true, std::memory_order_relaxed);
      writing_.store(methods, std::memory_order_release);
      return;
    }
    // If a message can't be sent, core cancels the call, unless it is over
    // already. Async streams have no POST_SEND_MESSAGE (gRPC forgets the
    // message before it checks whether there was one), but the batch comes
    // again without any hook.
    if (writing_.load(std::memory_order_acquire) == methods) {
      writing_.store(nullptr, std::memory_order_release);
      if (!methods->GetSendMessageStatus()) call_->OnOperationFailed();
    }
  }

  grpc::experimental::ServerRpcInfo* const info_;
  ServerCall* const call_;  // outlives this
  // True if another tether interceptor serves the call. Set before the handler
  // runs.
  bool stands_aside_ = false;
  // True if the headers came without the message that should be with them. As
  // above.
  bool lacks_message_ = false;
  // True if the client has asked whether this server unpacks headers. As above:
  // set before the handler runs.
  bool must_say_that_it_unpacks_ = false;
  // The batch whose message is being sent; there is at most one.
  std::atomic<const void*> writing_{nullptr};
  std::atomic<bool> sent_message_{false};
};

// A call and its interceptor, in one allocation.
//
// The call refers to itself until gRPC has deleted the interceptor. Whoever
// holds another reference then (a watch that has just ended, for example) keeps
// the memory, but no longer reaches the interceptor.
class InterceptedCall final : public ServerCall {
 public:
  using ServerCall::ServerCall;

  static ServerInterceptor* Make(std::shared_ptr<internal::ServerState> server,
                                 grpc::experimental::ServerRpcInfo* info) {
    auto made = std::make_shared<InterceptedCall>(std::move(server));
    InterceptedCall* const call = made.get();
    call->slot_.call = call;
    call->self_ = std::move(made);
    return ::new (call->slot_.interceptor) ServerInterceptor(info, call);
  }

  static void OnInterceptorDeleted(void* interceptor) {
    InterceptedCall* const call = static_cast<Slot*>(interceptor)->call;
    // Moved first: the last reference destroys `*call`.
    const std::shared_ptr<InterceptedCall> self = std::move(call->self_);
  }

 private:
  // The interceptor is first, so its address is the slot's.
  struct Slot {
    alignas(
        ServerInterceptor) unsigned char interceptor[sizeof(ServerInterceptor)];
    InterceptedCall* call;
  };
  static_assert(std::is_standard_layout_v<Slot>);

  Slot slot_;
  std::shared_ptr<InterceptedCall> self_;
};

// NOLINTNEXTLINE(misc-new-delete-overloads): made in place
void ServerInterceptor::operator delete(void* interceptor) {
  InterceptedCall::OnInterceptorDeleted(interceptor);
}

}  // namespace

ServerInterceptorFactory::ServerInterceptorFactory(ServerOptions options)
    : server_(std::make_shared<
              const internal::Spread<std::shared_ptr<internal::ServerState>>>(
          internal::SpreadOwners(
              internal::ServerState::Make(std::move(options))))) {}

ServerInterceptorFactory::~ServerInterceptorFactory() = default;

grpc::experimental::Interceptor*
ServerInterceptorFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return InterceptedCall::Make(server_->get(), info);
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
  using internal::RpcEvent;
  std::optional<Context> found =
      ServerCall::Registry().Find(&server_context, [](const ServerCall* call) {
        return call == nullptr ? std::nullopt
                               : std::make_optional(call->context());
      });
  if (found.has_value()) return *std::move(found);
  // An interceptor may ask before tether's has the request, which then isn't
  // lost. It can't be told which request that is, so no miss counts meanwhile.
  if (internal::CountBetween(RpcEvent::kServerCallMade,
                             RpcEvent::kServerCallArrived) != 0) {
    return Background();
  }
  internal::CountEvent(RpcEvent::kContextNotFound);
  static std::atomic<bool> warned{false};
  if (!warned.load(std::memory_order_relaxed) &&
      !warned.exchange(true, std::memory_order_relaxed)) {
    internal::Warn(
        "ContextOf found no context for a server's request, so its handler has "
        "no deadline, cancellation or values. Is InstallServer called, and not "
        "replaced by a later SetInterceptorCreators? (This is told once; "
        "GetGrpcStats().contexts_not_found counts.)");
  }
  return Background();
}

bool IsInstalled(const grpc::ServerContextBase& server_context) {
  return ServerCall::Registry().Find(
      &server_context, [](const ServerCall* call) { return call != nullptr; });
}

}  // namespace tether
