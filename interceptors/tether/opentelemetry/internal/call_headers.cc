// SPDX-License-Identifier: Apache-2.0

#include "tether/opentelemetry/internal/call_headers.h"

#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tether/propagation/b3.h"

namespace tether::internal {

CallHeaders::CallHeaders(Carrier& carrier, const TraceContext& span,
                         std::string parent_id)
    : carrier_(carrier),
      span_(span),
      span_id_(span.SpanIdHex()),
      parent_id_(std::move(parent_id)) {}

std::optional<std::string_view> CallHeaders::Get(std::string_view key,
                                                 int index) const {
  // To find out whether the application has set a header before, a propagator
  // reads it back: it must find the text that it wrote.
  if (replaced_ && index == 0 && key == kTraceParentHeader) return *replaced_;
  return carrier_.Get(key, index);
}

void CallHeaders::Set(std::string_view key, std::string_view value) {
  if (key == kTraceParentHeader) {
    const std::string header = FormatTraceParent(span_);
    carrier_.Set(key, header);
    if (carrier_.Get(key, 0) == header) replaced_ = std::string(value);
  } else if (key == kB3Header) {
    carrier_.Set(key, SingleB3(value));
  } else if (key == kB3SpanIdHeader) {
    carrier_.Set(key, span_id_);
  } else if (key == kB3ParentSpanIdHeader) {
    if (!parent_id_.empty()) carrier_.Set(key, parent_id_);
  } else {
    carrier_.Set(key, value);
  }
}

bool CallHeaders::Add(std::string_view key, std::string_view value) {
  return carrier_.Add(key, value);
}

void CallHeaders::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  carrier_.ForEachKey(visit);
}

// traceid-spanid[-sampled[-parentspanid]]
std::string CallHeaders::SingleB3(std::string_view value) const {
  std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(value.data(), value.size()), '-');
  if (parts.size() < 2) return std::string(value);
  parts[1] = span_id_;
  if (parts.size() == 4) parts[3] = parent_id_;
  if (parts.back().empty()) parts.pop_back();
  return absl::StrJoin(parts, "-");
}

}  // namespace tether::internal
