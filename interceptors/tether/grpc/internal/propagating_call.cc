// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/propagating_call.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/kept_time.h"
#include "tether/grpc/internal/reserve_nanos.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/reserve.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/rpc_context.h"
#include "tether/propagation/default.h"
#include "tether/propagation/internal/described_inject.h"
#include "tether/propagation/internal/packed_headers.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/redact.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {
namespace {

using Form = PackedServers::Form;

// `time` as FormatTimeout writes it.
std::string Micros(Nanos time) {
  return std::to_string(std::max<Nanos>(0, time) / 1000);
}

ClientOptions WithDefaults(ClientOptions options) {
  if (options.propagator == nullptr) options.propagator = DefaultPropagator();
  if (!options.redact.headers.empty() || !options.redact.baggage_keys.empty()) {
    options.propagator =
        std::make_shared<RedactPropagator>(options.propagator, options.redact);
  }
  return options;
}

}  // namespace

ClientChannel::ClientChannel(ClientOptions client_options)
    : options(WithDefaults(std::move(client_options))) {}

void PropagatingCall::SetDeadline(grpc::ClientContext& rpc) {
  const Nanos now = SteadyNanos();
  const Nanos left = RemainingAt(now, context());
  if (left == kNever) return;
  deadline_set_ = DeadlineAfter(absl::Nanoseconds(left));
  own_deadline_ = AddNanos(now, std::max<Nanos>(0, left));
  rpc.set_deadline(deadline_set_);
}

Nanos PropagatingCall::OwnLeft(const grpc::ClientContext& rpc,
                               Nanos now) const {
  const gpr_timespec deadline = rpc.raw_deadline();
  if (deadline.tv_sec == deadline_set_.tv_sec &&
      deadline.tv_nsec == deadline_set_.tv_nsec &&
      deadline.clock_type == deadline_set_.clock_type) {
    return AddNanos(own_deadline_, -now);
  }
  return NanosUntilDeadline(deadline);
}

grpc::Status PropagatingCall::ReadStatus(
    const grpc::ClientContext& rpc, ClientChannel& channel,
    const ReceivedMetadata::Map& trailing_metadata, grpc::Status status) {
  status = record().OnStatus(rpc, trailing_metadata, std::move(status));
  ReleaseCoreCall();
  if (asked_ != kLongPast) {
    channel.servers.OnAnswer(asked_, SaysThatItUnpacks(trailing_metadata),
                             status.error_code());
  }
  return status;
}

bool PropagatingCall::WriteHeaders(const grpc::ClientContext& rpc,
                                   ClientChannel& channel,
                                   grpc::ChannelInterface* asked,
                                   SentMetadata::Map& metadata) {
  if (CancelIfEnded()) {
    record().OnNotSent();
    return false;
  }
  // Core adds credentials below tether, so they can't be measured.
  constexpr size_t kForCredentials = 2048;
  SentMetadata carrier(metadata);
  const size_t used =
      carrier.RemoveAndMeasure({kTimeoutHeader, kReserveHeader, kPackedHeader});
  if (used > kMetadataRoom) {
    OnNoRoom();
    return true;
  }
  const size_t room =
      kMetadataRoom - std::min(kMetadataRoom, used + kForCredentials);
  Nanos now = kLongPast;
  Form form = Form::kPlain;
  if (channel.options.packed) {
    now = SteadyNanos();
    form = channel.servers.FormAt(now);
  }
  if (form == Form::kPacked) {
    PackedHeaders packed(carrier);
    WriteValues(channel, room, carrier, &packed);
    WriteTimes(rpc, channel, asked, metadata,
               [&packed](std::string_view key, std::string value) {
                 packed.Set(key, value);
               });
    if (!packed.empty()) metadata.emplace(kPackedHeader, packed.TakeText());
    return true;
  }
  WriteValues(channel, room, carrier, /*packed=*/nullptr);
  // tether's names come before those of most other headers.
  WriteTimes(rpc, channel, asked, metadata,
             [&metadata](std::string_view key, std::string value) {
               metadata.emplace_hint(metadata.begin(), key, std::move(value));
             });
  if (form == Form::kAsk) {
    asked_ = now;
    metadata.emplace(kPackedHeader, kPackedVersion);
  }
  return true;
}

void PropagatingCall::OnNoRoom() {
  CountEvent(RpcEvent::kOversized);
  if (options().describe_propagation) {
    set_propagation(
        "  nothing: the application's own metadata leaves no room\n");
  }
}

// The times come last, so that they are as fresh as possible on the wire.
template <typename Write>
void PropagatingCall::WriteTimes(const grpc::ClientContext& rpc,
                                 const ClientChannel& channel,
                                 grpc::ChannelInterface* asked,
                                 SentMetadata::Map& metadata, Write write) {
  const Nanos now = SteadyNanos();
  const Nanos own = OwnLeft(rpc, now);
  const Nanos left = std::min(own, RemainingAt(now, context()));
  if (left == kNever) return;  // no deadline
  const Reserve& reserve = options().reserve.has_value()
                               ? *options().reserve
                               : channel.options.reserve;
  // False if the request will wait for a connection, as far as that is known.
  const bool connected =
      asked == nullptr ||
      asked->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY;
  const Nanos kept = KeptTime(reserve, left, connected);
  record().OnTimeoutSent(kept, left);
  write(kTimeoutHeader, Micros(left - kept));
  if (kept != ReserveOf(Reserve(), left)) {
    write(kReserveHeader, Micros(kept));
  }
  if (own == kNever) {
    // Core writes this header only if the call has a deadline.
    metadata.emplace("grpc-timeout",
                     FormatGrpcTimeout(absl::Nanoseconds(left)));
  }
}

void PropagatingCall::WriteValues(const ClientChannel& channel, size_t room,
                                  SentMetadata& headers,
                                  PackedHeaders* packed) noexcept {
  TETHER_TRY {
    const bool fits = options().describe_propagation
                          ? InjectAndDescribe(channel, room, headers, packed)
                          : headers.Inject(*channel.options.propagator,
                                           context(), room, packed);
    if (!fits) CountEvent(RpcEvent::kOversized);
  }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
}

bool PropagatingCall::InjectAndDescribe(const ClientChannel& channel,
                                        size_t room, SentMetadata& headers,
                                        PackedHeaders* packed) {
  InjectLimits limits;
  limits.max_headers = SIZE_MAX;
  // All packed values together are one header. Only SentMetadata can count it.
  limits.max_bytes = packed == nullptr ? room : SIZE_MAX;
  DescribedInject described;
  const auto inject = [&](Carrier& carrier) {
    described = internal::InjectAndDescribe(*channel.options.propagator,
                                            context(), carrier, limits);
  };
  if (packed == nullptr) {
    inject(headers);
  } else if (!headers.InjectBy(inject, room, packed)) {
    described.fits = false;
    described.text = "  nothing: all values together are too large\n";
  }
  set_propagation(std::move(described.text));
  if (described.threw) CountEvent(RpcEvent::kException);
  return described.fits;
}

}  // namespace tether::internal
