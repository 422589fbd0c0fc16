// SPDX-License-Identifier: Apache-2.0
//
// Puts a call's span into the headers that tether's propagators write.

#ifndef TETHER_OPENTELEMETRY_INTERNAL_CALL_HEADERS_H_
#define TETHER_OPENTELEMETRY_INTERNAL_CALL_HEADERS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether::internal {

// A carrier that replaces the span id in the headers written to it. tether's
// propagators draw a new span id for each call, but a call with a span must
// send that span's id, and the id of its parent.
class CallHeaders final : public Carrier {
 public:
  // `parent_id` is "" if the span is the first of its trace. `carrier` and
  // `span` must outlive this object.
  CallHeaders(Carrier& carrier, const TraceContext& span,
              std::string parent_id);

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override;
  void Set(std::string_view key, std::string_view value) override;
  bool Add(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

 private:
  std::string SingleB3(std::string_view value) const;

  Carrier& carrier_;
  const TraceContext& span_;
  const std::string span_id_;
  const std::string parent_id_;
  // The traceparent that the propagator passed to Set, if it was replaced.
  std::optional<std::string> replaced_;
};

}  // namespace tether::internal

#endif  // TETHER_OPENTELEMETRY_INTERNAL_CALL_HEADERS_H_
