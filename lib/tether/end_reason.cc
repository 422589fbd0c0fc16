// SPDX-License-Identifier: Apache-2.0

#include "tether/end_reason.h"

#include <new>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "tether/internal/exceptions.h"

namespace tether {
namespace {

// A type URL, as payloads of absl::Status have. Nothing is stored at it.
constexpr absl::string_view kPayload = "tether/end-reason";

}  // namespace

std::string_view EndReasonName(EndReason reason) {
  switch (reason) {
    case EndReason::kNone:
      return "";
    case EndReason::kCompleted:
      return "completed";
    case EndReason::kOwnTimeout:
      return "own timeout";
    case EndReason::kInheritedDeadline:
      return "inherited deadline";
    case EndReason::kCallerLeft:
      return "caller left";
    case EndReason::kConnectionLost:
      return "connection lost";
    case EndReason::kServerShutdown:
      return "server shutting down";
    case EndReason::kSiblingFailed:
      return "sibling failed";
    case EndReason::kCancelled:
      return "cancelled";
    case EndReason::kTooLittleTime:
      return "too little time";
  }
  return "unknown";
}

absl::Status WithEndReason(absl::Status cause, EndReason reason) {
  if (cause.ok()) return cause;
  const char mark = static_cast<char>(reason);
  TETHER_TRY {
    // A copy of `cause` would share its representation. If SetPayload then runs
    // out of memory, newer Abseil drops its reference to the representation
    // twice (seen in 20240722 and 20260526).
    absl::Status marked(cause.code(), cause.message());
    cause.ForEachPayload(
        [&marked](absl::string_view type_url, const absl::Cord& payload) {
          marked.SetPayload(type_url, payload);
        });
    marked.SetPayload(kPayload, absl::Cord(absl::string_view(&mark, 1)));
    return marked;
  }
  TETHER_CATCH(const std::bad_alloc&) { return cause; }
}

EndReason EndReasonIn(const absl::Status& cause) {
  const absl::optional<absl::Cord> mark = cause.GetPayload(kPayload);
  return mark.has_value() && mark->size() == 1
             ? static_cast<EndReason>((*mark)[0])
             : EndReason::kNone;
}

EndReason EndReasonOf(const Context& ctx) {
  const absl::Status err = ctx.Err();
  if (err.ok()) return EndReason::kNone;
  const EndReason reason = EndReasonIn(ctx.Cause());
  if (reason != EndReason::kNone) return reason;
  return absl::IsDeadlineExceeded(err) ? EndReason::kOwnTimeout
                                       : EndReason::kCancelled;
}

}  // namespace tether
