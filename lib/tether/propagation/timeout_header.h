// The header `tether-timeout-us`: how much time is left for a call.
//
// Wire format, version 1: the time that the callee has from the moment the
// headers are sent, in whole microseconds, rounded down; 1 to 18 ASCII digits,
// nothing else. That is the caller's own time, less what it keeps back for the
// reply. It is relative, since the clocks of hosts differ.
//
//   tether-timeout-us: 1500000      1.5 s are left
//   tether-timeout-us: 0            none is left
//
// There is no header where there is no deadline. It stands beside gRPC's own
// `grpc-timeout`, which rounds up, and so grows over many hops; receivers go by
// the earlier of the two. docs/wire_format.md has the whole protocol.
//
// Thread safety: these are pure functions.

#ifndef TETHER_PROPAGATION_TIMEOUT_HEADER_H_
#define TETHER_PROPAGATION_TIMEOUT_HEADER_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "tether/export.h"

namespace tether {

inline constexpr std::string_view kTimeoutHeader = "tether-timeout-us";

// The most digits that the header may have. 10^18 µs are 31,700 years, so that
// no sum or product of such numbers need be feared.
inline constexpr int kMaxTimeoutDigits = 18;

// Reads a value of the header: 0 to 10^18 - 1 µs. Leading zeros are accepted,
// as long as all digits are at most 18: they can't be misread. Returns nullopt
// for anything else, such as "", "+1", "-1", "1 ", "0x1", "1.5", "1e6", or 19
// digits. No bytes are too many or too odd: it looks at 19 of them at most.
TETHER_EXPORT std::optional<absl::Duration> ParseTimeout(
    std::string_view header);

// Writes `left` rounded down to whole microseconds, without leading zeros: a
// hop never gives more time than it has. Zero and negative ones give "0".
// Durations of 10^18 µs and more, InfiniteDuration() among them, give nullopt:
// send no header. Allocates nothing up to 15 digits (31 years).
TETHER_EXPORT std::optional<std::string> FormatTimeout(absl::Duration left);

}  // namespace tether

#endif  // TETHER_PROPAGATION_TIMEOUT_HEADER_H_
