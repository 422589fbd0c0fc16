// The `tracestate` of a trace (https://www.w3.org/TR/trace-context/): what
// tracers tell one another, a member "key=value" each, the most recent first.
//
// tether hands it on; these functions are for those who have something of their
// own to say in it.
//
// All are thread-safe, and take any text: where it isn't legal as a whole, it
// counts as empty.

#ifndef TETHER_PROPAGATION_TRACE_STATE_H_
#define TETHER_PROPAGATION_TRACE_STATE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tether/export.h"

namespace tether {

// The most bytes, commas included, that are sent. The standard asks for at
// least as many.
inline constexpr size_t kMaxTraceStateBytes = 512;

// The value under `key`, a view of `trace_state`; nullopt where there is none.
TETHER_EXPORT std::optional<std::string_view> TraceStateMember(
    std::string_view trace_state, std::string_view key);

// `trace_state` with the member `key`=`value` at its front, in the place of one
// that had this key. Where that is more than 32 members or `max_bytes`, others
// are left out, as the standard orders: first those longer than 128 characters,
// then from the end.
//
// nullopt where the new member is illegal, or alone longer than `max_bytes`. A
// key is 1 to 256 of [a-z0-9_*/@-], and begins with a letter or a digit; a
// value is 1 to 256 of printable ASCII, without ',' and '=', and doesn't end in
// a blank.
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

// `trace_state` without the member `key`. The standard asks to remove none that
// one hasn't made, but for privacy.
TETHER_EXPORT std::string RemoveTraceStateMember(std::string_view trace_state,
                                                 std::string_view key);

}  // namespace tether

#endif  // TETHER_PROPAGATION_TRACE_STATE_H_
