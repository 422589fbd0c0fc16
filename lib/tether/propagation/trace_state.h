// SPDX-License-Identifier: Apache-2.0
//
// The `tracestate` of a trace (https://www.w3.org/TR/trace-context/): a list of
// members "key=value", one for each tracer, the most recent first.
//
// tether forwards it unchanged. Use these functions to read a member or to add
// one.
//
// All functions are thread-safe and accept any text. Text that is not a legal
// `tracestate` counts as empty.

#ifndef TETHER_PROPAGATION_TRACE_STATE_H_
#define TETHER_PROPAGATION_TRACE_STATE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tether/export.h"

namespace tether {

// The maximum size that is sent, in bytes, including commas. The standard
// requires at least this size.
inline constexpr size_t kMaxTraceStateBytes = 512;

// Returns the value of `key`, as a view of `trace_state`, or nullopt if there
// is none.
TETHER_EXPORT std::optional<std::string_view> TraceStateMember(
    std::string_view trace_state, std::string_view key);

// Returns `trace_state` with the member `key`=`value` at its front. It replaces
// an existing member of this key. If the result exceeds 32 members or
// `max_bytes`, other members are removed in the order that the standard
// requires: first members longer than 128 characters, then from the end.
//
// Returns nullopt if the new member is illegal, or longer than `max_bytes` by
// itself. A key consists of 1 to 256 of [a-z0-9_*/@-], and begins with a letter
// or a digit. A value consists of 1 to 256 printable ASCII characters except
// ',' and '=', and doesn't end with a space.
//
//   tether::TraceContext trace = *tether::TraceOf(ctx);
//   if (auto state = tether::PutTraceStateMember(trace.trace_state, "acme",
//                                                "p:3")) {
//     trace.trace_state = *std::move(state);
//     ctx = tether::WithTrace(ctx, std::move(trace));
//   }
TETHER_EXPORT std::optional<std::string> PutTraceStateMember(
    std::string_view trace_state, std::string_view key, std::string_view value,
    size_t max_bytes = kMaxTraceStateBytes);

// Returns `trace_state` without the member `key`. The standard asks not to
// remove the members of other tracers, except for privacy.
TETHER_EXPORT std::string RemoveTraceStateMember(std::string_view trace_state,
                                                 std::string_view key);

}  // namespace tether

#endif  // TETHER_PROPAGATION_TRACE_STATE_H_
