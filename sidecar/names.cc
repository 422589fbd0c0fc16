// SPDX-License-Identifier: Apache-2.0

#include "sidecar/names.h"

#include <cstddef>
#include <iterator>

#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether::sidecar {
namespace {

constexpr size_t kMaxRequestId = 128;

std::string_view SoleIn(const ReceivedMap& headers, std::string_view key) {
  const auto [first, last] =
      headers.equal_range(grpc::string_ref(key.data(), key.size()));
  if (first == last || std::next(first) != last) return "";
  return ToView(first->second);
}

}  // namespace

std::string TraceIdIn(const ReceivedMap& headers) {
  const std::string_view header = SoleIn(headers, kTraceParentHeader);
  if (header.empty() || !ParseTraceParent(header)) return "";
  return std::string(header.substr(3, 32));
}

std::string RequestIdIn(const ReceivedMap& headers) {
  const std::string_view id = SoleIn(headers, kRequestIdHeader);
  return id.size() > kMaxRequestId ? "" : std::string(id);
}

}  // namespace tether::sidecar
