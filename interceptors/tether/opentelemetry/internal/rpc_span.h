// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's span of one RPC, with the names and attributes of its
// conventions.

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

// Thread safety: Start comes first, once, or never; after it, any thread.
class RpcSpan {
 public:
  // `method`: "/package.Service/Method". `budget`: what is left of the time, as
  // an attribute; nullopt: none. A `parent` without a span makes a new trace,
  // whatever is active on this thread.
  void Start(opentelemetry::trace::Tracer& tracer,
             opentelemetry::trace::SpanKind kind, const char* method,
             opentelemetry::context::Context parent,
             std::optional<absl::Duration> budget);

  // Null before Start.
  const opentelemetry::nostd::shared_ptr<opentelemetry::trace::Span>& span()
      const {
    return span_;
  }

  // "" where it has none.
  std::string ParentIdHex() const;

  // Whether what End is given will be seen by anybody.
  bool IsRecording() const;

  // `peer`: as gRPC gives it, "ipv4:10.0.0.7:50051".
  void SetPeer(const std::string& peer);

  // Only the first call counts; none does before Start. `status`: null where
  // the RPC was abandoned. `cause`: why its context ended before it; OK: it
  // didn't.
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
