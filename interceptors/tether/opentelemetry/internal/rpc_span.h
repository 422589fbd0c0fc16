// SPDX-License-Identifier: Apache-2.0
//
// The OpenTelemetry span of one RPC. Names and attributes follow
// OpenTelemetry's conventions.

#ifndef TETHER_OPENTELEMETRY_INTERNAL_RPC_SPAN_H_
#define TETHER_OPENTELEMETRY_INTERNAL_RPC_SPAN_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "opentelemetry/context/context.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/trace/span.h"
#include "opentelemetry/trace/span_id.h"
#include "opentelemetry/trace/span_metadata.h"
#include "opentelemetry/trace/tracer.h"

namespace tether::internal {

// Thread safety: Start is called at most once, before the other functions.
// Those may be called on any thread.
class RpcSpan {
 public:
  // `method`: "/package.Service/Method". `budget` is the remaining time,
  // recorded as an attribute; nullopt if there is no deadline. If `parent` has
  // no span, a new trace begins, whatever span is active on this thread.
  void Start(opentelemetry::trace::Tracer& tracer,
             opentelemetry::trace::SpanKind kind, const char* method,
             opentelemetry::context::Context parent,
             std::optional<absl::Duration> budget);

  // Null before Start.
  const opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span>& span()
      const {
    return span_;
  }

  // "" if the span has no parent.
  std::string ParentIdHex() const;

  // True if the span records anything. If not, End ignores its arguments.
  bool IsRecording() const;

  // `peer`: in gRPC's format, "ipv4:10.0.0.7:50051".
  void SetPeer(const std::string& peer);

  // Only the first call counts. Does nothing before Start. `status` is null if
  // the RPC was abandoned. `cause` is the reason why the context ended before
  // the RPC; OK if it didn't.
  void End(const grpc::Status* status, const absl::Status& cause);

  bool ended() const { return ended_.load(std::memory_order_relaxed); }

 private:
  bool IsError(grpc::StatusCode code) const;

  opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span> span_;
  opentelemetry::trace::SpanId parent_id_;
  opentelemetry::trace::SpanKind kind_ =
      opentelemetry::trace::SpanKind::kInternal;
  std::atomic<bool> ended_{false};
};

}  // namespace tether::internal

#endif  // TETHER_OPENTELEMETRY_INTERNAL_RPC_SPAN_H_
