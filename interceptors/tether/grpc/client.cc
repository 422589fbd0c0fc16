// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/client.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/time/time.h"
#include "tether/current.h"
#include "tether/grpc/internal/channel_target.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/kept_time.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/packed_servers.h"
#include "tether/grpc/internal/reserve_nanos.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/status.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/nanos.h"
#include "tether/internal/rpc_context.h"
#include "tether/internal/spread.h"
#include "tether/propagation/default.h"
#include "tether/propagation/internal/described_inject.h"
#include "tether/propagation/internal/packed_headers.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/redact.h"
#include "tether/propagation/timeout_header.h"

namespace tether {

// What the calls on a channel share.
struct internal::ClientChannel {
  explicit ClientChannel(ClientOptions with_defaults)
      : options(std::move(with_defaults)) {}

  const ClientOptions options;
  PackedServers servers;  // used if options.packed
  ChannelTarget target;
};

namespace {

using grpc::experimental::InterceptionHookPoints;
using internal::ClientCallState;
using internal::ClientChannel;
using internal::kPackedHeader;
using Form = internal::PackedServers::Form;
using internal::Nanos;

// `time` as FormatTimeout writes it.
std::string Micros(Nanos time) {
  return std::to_string(std::max<Nanos>(0, time) / 1000);
}

// The interceptor of one RPC, together with the state of its call.
class ClientInterceptor : public ClientCallState {
 public:
  using ClientCallState::ClientCallState;
  // While it is registered, Inspect() reads what channel_ owns.
  ~ClientInterceptor() override { Unregister(); }

  // Gives `call`, a ClientCall, the deadline of its context.
  void SetDeadline(grpc::ClientContext& call) {
    const Nanos now = internal::SteadyNanos();
    const Nanos left = internal::RemainingAt(now, context());
    if (left == internal::kNever) return;
    deadline_set_ = internal::DeadlineAfter(absl::Nanoseconds(left));
    own_deadline_ = internal::AddNanos(now, std::max<Nanos>(0, left));
    call.set_deadline(deadline_set_);
  }

  // Its RPC begins. Called once, before Intercept.
  void Serve(grpc::experimental::ClientRpcInfo* info,
             std::shared_ptr<ClientChannel> channel, bool asks_state) {
    info_ = info;
    channel_ = std::move(channel);
    asks_state_ = asks_state;
    record().Prepare(info->method(), channel_->options.report_limits);
    TellObservers(info->method());
  }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    // This hook runs under the ClientContext's lock.
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_CANCEL)) {
      record().OnTryCancel();
      return methods->Proceed();
    }
    if (!started_.load(std::memory_order_relaxed)) OnFirstHook();
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      WriteHeaders(*methods->GetSendInitialMetadata());
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_STATUS)) {
      OnReceiveStatus(methods);
    }
    methods->Proceed();
  }

 private:
  // The first hook may have no hook point: a stream with corked initial
  // metadata can wait for a message before it sends anything. Hooks of a stream
  // run concurrently; only one of them starts the call.
  void OnFirstHook() {
    grpc_call* call = info_->client_context()->c_call();
    if (call == nullptr) return;
    if (started_.exchange(true, std::memory_order_relaxed)) return;
    const Nanos now = internal::SteadyNanos();
    record().SetTarget(channel_->target.For(info_->channel(), call));
    record().OnStart(now, OwnLeft(now));
    HoldCoreCall(call);
  }

  // The call's method (info_->method()) and its final status are known here, so
  // this is the place to count calls per method. Streams that the application
  // abandons never get here.
  void OnReceiveStatus(grpc::experimental::InterceptorBatchMethods* methods) {
    grpc::Status& status = *methods->GetRecvStatus();
    status = record().OnStatus(*info_->client_context(),
                               *methods->GetRecvTrailingMetadata(),
                               std::move(status));
    ReleaseCoreCall();
    if (asked_ != internal::kLongPast) {
      channel_->servers.OnAnswer(
          asked_,
          internal::SaysThatItUnpacks(*methods->GetRecvTrailingMetadata()),
          status.error_code());
    }
  }

  // The time from `now`, which is the current one, until the ClientContext's
  // own deadline; kNever if it has none.
  Nanos OwnLeft(Nanos now) const {
    const gpr_timespec deadline = info_->client_context()->raw_deadline();
    if (deadline.tv_sec == deadline_set_.tv_sec &&
        deadline.tv_nsec == deadline_set_.tv_nsec &&
        deadline.clock_type == deadline_set_.clock_type) {
      return internal::AddNanos(own_deadline_, -now);
    }
    return internal::NanosUntilDeadline(deadline);
  }

  void WriteHeaders(internal::SentMetadata::Map& metadata) {
    if (CancelIfEnded()) return record().OnNotSent();
    // Core adds credentials below the interceptors, so they can't be measured.
    constexpr size_t kForCredentials = 2048;
    internal::SentMetadata carrier(metadata);
    const size_t used = carrier.RemoveAndMeasure(
        {kTimeoutHeader, kReserveHeader, kPackedHeader});
    if (used > internal::kMetadataRoom) {
      internal::CountEvent(internal::RpcEvent::kOversized);
      if (options().describe_propagation) {
        set_propagation(
            "  nothing: the application's own metadata leaves no room\n");
      }
      return;
    }
    const size_t room =
        internal::kMetadataRoom -
        std::min(internal::kMetadataRoom, used + kForCredentials);
    Nanos now = internal::kLongPast;
    Form form = Form::kPlain;
    if (channel_->options.packed) {
      now = internal::SteadyNanos();
      form = channel_->servers.FormAt(now);
    }
    if (form == Form::kPacked) {
      internal::PackedHeaders packed(carrier);
      WriteValues(room, carrier, &packed);
      WriteTimes(metadata, [&packed](std::string_view key, std::string value) {
        packed.Set(key, value);
      });
      if (!packed.empty()) metadata.emplace(kPackedHeader, packed.TakeText());
      return;
    }
    WriteValues(room, carrier, /*packed=*/nullptr);
    // tether's names come before those of most other headers.
    WriteTimes(metadata, [&metadata](std::string_view key, std::string value) {
      metadata.emplace_hint(metadata.begin(), key, std::move(value));
    });
    if (form == Form::kAsk) {
      asked_ = now;
      metadata.emplace(kPackedHeader, internal::kPackedVersion);
    }
  }

  // Writes tether's headers with `write`, and gRPC's own where core doesn't.
  // They come last, so that they are as fresh as possible on the wire.
  template <typename Write>
  void WriteTimes(internal::SentMetadata::Map& metadata, Write write) {
    const Nanos now = internal::SteadyNanos();
    const Nanos own = OwnLeft(now);
    const Nanos left = std::min(own, internal::RemainingAt(now, context()));
    if (left == internal::kNever) return;  // no deadline
    const Reserve& reserve = options().reserve.has_value()
                                 ? *options().reserve
                                 : channel_->options.reserve;
    const Nanos kept = internal::KeptTime(reserve, left, IsConnected());
    record().OnTimeoutSent(kept, left);
    write(kTimeoutHeader, Micros(left - kept));
    if (kept != internal::ReserveOf(Reserve(), left)) {
      write(kReserveHeader, Micros(kept));
    }
    if (own == internal::kNever) {
      // Core writes this header only if the call has a deadline.
      metadata.emplace("grpc-timeout",
                       internal::FormatGrpcTimeout(absl::Nanoseconds(left)));
    }
  }

  // False if the request will wait for a connection, as far as that is known.
  bool IsConnected() const {
    return !asks_state_ || info_->channel()->GetState(
                               /*try_to_connect=*/false) == GRPC_CHANNEL_READY;
  }

  // Writes the values into `headers`, or into `packed` if it isn't null.
  void WriteValues(size_t room, internal::SentMetadata& headers,
                   internal::PackedHeaders* packed) noexcept {
    TETHER_TRY {
      const bool fits = options().describe_propagation
                            ? InjectAndDescribe(room, headers, packed)
                            : headers.Inject(*channel_->options.propagator,
                                             context(), room, packed);
      if (!fits) {
        internal::CountEvent(internal::RpcEvent::kOversized);
      }
    }
    TETHER_CATCH(...) { internal::CountEvent(internal::RpcEvent::kException); }
  }

  bool InjectAndDescribe(size_t room, internal::SentMetadata& headers,
                         internal::PackedHeaders* packed) {
    InjectLimits limits;
    limits.max_headers = SIZE_MAX;
    // All packed values together are one header. Only SentMetadata can count
    // it.
    limits.max_bytes = packed == nullptr ? room : SIZE_MAX;
    internal::DescribedInject described;
    const auto inject = [&](Carrier& carrier) {
      described = internal::InjectAndDescribe(*channel_->options.propagator,
                                              context(), carrier, limits);
    };
    if (packed == nullptr) {
      inject(headers);
    } else if (!headers.InjectBy(inject, room, packed)) {
      described.fits = false;
      described.text = "  nothing: all values together are too large\n";
    }
    set_propagation(std::move(described.text));
    if (described.threw) {
      internal::CountEvent(internal::RpcEvent::kException);
    }
    return described.fits;
  }

  // Set by Serve.
  grpc::experimental::ClientRpcInfo* info_ = nullptr;
  std::shared_ptr<ClientChannel> channel_;
  bool asks_state_ = false;

  // When the call asked the server whether it unpacks headers; kLongPast if it
  // doesn't ask. Set before the headers are sent.
  Nanos asked_ = internal::kLongPast;

  // A ClientCall's own deadline, unless the application has changed it: as gRPC
  // has it, and on the steady clock.
  gpr_timespec deadline_set_ = {0, 0, GPR_TIMESPAN};
  Nanos own_deadline_ = 0;

  std::atomic<bool> started_{false};
};

// Lives in a ClientCall. gRPC deletes it, but the memory is the ClientCall's.
class InterceptorInPlace final : public ClientInterceptor {
 public:
  using ClientInterceptor::ClientInterceptor;
  static void* operator new(size_t) = delete;
  // NOLINTNEXTLINE(misc-new-delete-overloads): made in place
  static void operator delete(void*) {}
};

// For a plain ClientContext, made when its RPC begins.
class InterceptorOnHeap final : public ClientInterceptor {
 public:
  InterceptorOnHeap()
      : ClientInterceptor(Current(), CallOptions(),
                          /*client_context=*/nullptr) {}
};

// Does nothing: another tether interceptor serves the call.
class PassThrough final : public grpc::experimental::Interceptor {
  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    methods->Proceed();
  }
};

}  // namespace

std::shared_ptr<grpc::Channel> internal::ChannelMaker::operator()(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ClientOptions options, const grpc::ChannelArguments& arguments) const {
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      creators;
  auto factory = std::make_unique<ClientInterceptorFactory>(std::move(options));
  factory->asks_state_ = true;
  creators.push_back(std::move(factory));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, arguments, std::move(creators));
}

ClientInterceptorFactory::ClientInterceptorFactory(ClientOptions options)
    : channel_([&] {
        if (options.propagator == nullptr) {
          options.propagator = DefaultPropagator();
        }
        if (!options.redact.headers.empty() ||
            !options.redact.baggage_keys.empty()) {
          options.propagator = std::make_shared<RedactPropagator>(
              options.propagator, options.redact);
        }
        return std::make_shared<
            const internal::Spread<std::shared_ptr<ClientChannel>>>(
            internal::SpreadOwners(
                std::make_shared<ClientChannel>(std::move(options))));
      }()) {}

grpc::experimental::Interceptor*
ClientInterceptorFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo* info) {
  const grpc::ClientContext& call = *info->client_context();
  // Every state is that of a ClientInterceptor.
  auto* interceptor =
      static_cast<ClientInterceptor*>(ClientCallState::Of(call));
  if (interceptor == nullptr) {
    // This is the caller's thread, so Current() is the caller's.
    interceptor = new InterceptorOnHeap;
    interceptor->Register(call);
  }
  // gRPC doesn't allow a globally registered factory to return null.
  if (!interceptor->Take()) return new PassThrough;
  interceptor->Serve(info, channel_->get(), asks_state_);
  return interceptor;
}

ClientCall::ClientCall(const Context& ctx, CallOptions options) {
  static_assert(sizeof(InterceptorInPlace) <= sizeof(state_), "enlarge state_");
  static_assert(alignof(InterceptorInPlace) <= alignof(std::max_align_t), "");
  ClientCallState::ClearPlace(*this);
  const bool detached = options.detached;
  auto* const state = ::new (static_cast<void*>(state_)) InterceptorInPlace(
      detached ? WithoutCancel(ctx) : ctx, std::move(options), this);
  state->Register(*this);
  state->SetDeadline(*this);
}

// MemorySanitizer would poison the state, which ~ClientContext still uses.
ABSL_ATTRIBUTE_NO_SANITIZE_MEMORY ClientCall::~ClientCall() {
  state().Unregister();
  // Otherwise gRPC owns it.
  if (!state().taken()) std::destroy_at(&state());
}

internal::ClientCallState& ClientCall::state() {
  return *std::launder(
      static_cast<InterceptorInPlace*>(static_cast<void*>(state_)));
}

const internal::ClientCallState& ClientCall::state() const {
  return const_cast<ClientCall*>(this)->state();
}

const Context& ClientCall::context() const { return state().context(); }

v1::CallReport ClientCall::report() const { return state().record().report(); }

EndReason EndReasonOf(const ClientCall& call) {
  return call.state().record().reason();
}

Context ContextOf(const grpc::ClientContext& call) {
  std::optional<Context> ctx = ClientCallState::ContextOf(call);
  return ctx.has_value() ? *std::move(ctx) : Current();
}

}  // namespace tether
