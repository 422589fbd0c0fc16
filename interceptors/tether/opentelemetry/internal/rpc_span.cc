// SPDX-License-Identifier: Apache-2.0

#include "tether/opentelemetry/internal/rpc_span.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "opentelemetry/common/attribute_value.h"
#include "opentelemetry/nostd/string_view.h"
#include "opentelemetry/trace/context.h"
#include "opentelemetry/trace/span_startoptions.h"

namespace tether::internal {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using opentelemetry::common::AttributeValue;

nostd::string_view View(std::string_view text) {
  return nostd::string_view(text.data(), text.size());
}

}  // namespace

void RpcSpan::Start(trace::Tracer& tracer, trace::SpanKind kind,
                    const char* method, opentelemetry::context::Context parent,
                    std::optional<absl::Duration> budget) {
  kind_ = kind;
  std::string_view name = method == nullptr ? "" : method;
  if (!name.empty() && name.front() == '/') name.remove_prefix(1);
  std::vector<std::pair<nostd::string_view, AttributeValue>> attributes;
  attributes.reserve(4);
  attributes.emplace_back("rpc.system", "grpc");
  const size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) {
    attributes.emplace_back("rpc.service", View(name.substr(0, slash)));
    attributes.emplace_back("rpc.method", View(name.substr(slash + 1)));
  }
  if (budget.has_value()) {
    attributes.emplace_back(
        "tether.budget.remaining_us",
        absl::ToInt64Microseconds(std::max(*budget, absl::ZeroDuration())));
  }
  trace::StartSpanOptions options;
  options.kind = kind;
  const trace::SpanContext above = trace::GetSpan(parent)->GetContext();
  if (above.IsValid()) {
    parent_id_ = above.span_id();
  } else {
    parent = parent.SetValue(trace::kIsRootSpanKey, true);
  }
  options.parent = std::move(parent);
  span_ = tracer.StartSpan(name.empty() ? "(unknown)" : View(name), attributes,
                           options);
}

std::string RpcSpan::ParentIdHex() const {
  if (!parent_id_.IsValid()) return std::string();
  char hex[2 * trace::SpanId::kSize];
  parent_id_.ToLowerBase16(hex);
  return std::string(hex, sizeof hex);
}

bool RpcSpan::IsRecording() const {
  return span_ != nullptr && !ended() && span_->IsRecording();
}

void RpcSpan::SetPeer(const std::string& peer) {
  const std::string_view text = peer;
  const std::string_view scheme = text.substr(0, 5);
  const size_t port_at = text.rfind(':');
  if ((scheme == "ipv4:" || scheme == "ipv6:") && port_at > 5) {
    // gRPC writes "ipv6:%5B::1%5D:80".
    const std::string address = absl::StrReplaceAll(
        std::string(text.substr(5, port_at - 5)),
        {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}, {"%25", "%"}});
    span_->SetAttribute("network.peer.address", View(address));
    int64_t port;
    if (absl::SimpleAtoi(peer.substr(port_at + 1), &port)) {
      span_->SetAttribute("network.peer.port", port);
    }
  } else if (scheme == "unix:") {
    span_->SetAttribute("network.peer.address", View(text.substr(5)));
  }
}

void RpcSpan::End(const grpc::Status* status, const absl::Status& cause) {
  if (span_ == nullptr || ended_.exchange(true, std::memory_order_relaxed)) {
    return;
  }
  if (span_->IsRecording()) {
    if (!cause.ok()) {
      // Payloads are left out, because they may contain anything.
      span_->SetAttribute(
          "tether.cause",
          View(cause.ToString(absl::StatusToStringMode::kWithNoExtraData)));
    }
    if (status == nullptr) {
      span_->SetStatus(trace::StatusCode::kError,
                       "the call ended without a status");
    } else {
      span_->SetAttribute("rpc.grpc.status_code",
                          static_cast<int64_t>(status->error_code()));
      if (IsError(status->error_code())) {
        span_->SetStatus(trace::StatusCode::kError,
                         View(status->error_message()));
      }
    }
  }
  span_->End();
}

bool RpcSpan::IsError(grpc::StatusCode code) const {
  if (kind_ == trace::SpanKind::kClient) return code != grpc::StatusCode::OK;
  switch (code) {
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

}  // namespace tether::internal
