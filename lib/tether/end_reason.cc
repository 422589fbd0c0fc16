// SPDX-License-Identifier: Apache-2.0

#include "tether/end_reason.h"

#include <new>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "tether/internal/exceptions.h"

namespace tether {
namespace {

// A type URL, as payloads of absl::Status have. Nothing is stored at it.
constexpr absl::string_view kPayload = "tether/end-reason";

constexpr std::string_view kNoName = "unknown";
constexpr int kLastReason = static_cast<int>(EndReason::kTooLittleTime);

// The payload is text, since absl::Status::ToString() shows it: the name of the
// reason, or the number of a reason that has no name.
absl::string_view View(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

std::string TextOf(EndReason reason) {
  const std::string_view name = EndReasonName(reason);
  return name == kNoName ? std::to_string(static_cast<int>(reason))
                         : std::string(name);
}

EndReason ReasonOfText(const absl::Cord& text) {
  for (int i = 0; i <= kLastReason; ++i) {
    const auto reason = static_cast<EndReason>(i);
    if (text == View(EndReasonName(reason))) return reason;
  }
  int number = 0;
  if (text.size() > 3 || !absl::SimpleAtoi(std::string(text), &number) ||
      number < 0 || number > 255) {
    return EndReason::kNone;
  }
  return static_cast<EndReason>(number);
}

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
  return kNoName;
}

absl::Status WithEndReason(absl::Status cause, EndReason reason) {
  if (cause.ok()) return cause;
  TETHER_TRY {
    // A copy of `cause` would share its representation. If SetPayload then runs
    // out of memory, newer Abseil drops its reference to the representation
    // twice (seen in 20240722 and 20260526).
    absl::Status marked(cause.code(), cause.message());
    cause.ForEachPayload(
        [&marked](absl::string_view type_url, const absl::Cord& payload) {
          marked.SetPayload(type_url, payload);
        });
    marked.SetPayload(kPayload, absl::Cord(View(TextOf(reason))));
    return marked;
  }
  TETHER_CATCH(const std::bad_alloc&) { return cause; }
}

EndReason EndReasonIn(const absl::Status& cause) {
  const absl::optional<absl::Cord> mark = cause.GetPayload(kPayload);
  return mark.has_value() ? ReasonOfText(*mark) : EndReason::kNone;
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
