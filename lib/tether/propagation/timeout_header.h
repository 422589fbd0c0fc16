// SPDX-License-Identifier: Apache-2.0
//
// The headers `tether-timeout`, the time left for a call, and
// `tether-reserve`, the time that the caller keeps for itself.
//
// Wire format, version 1: 1 to 18 ASCII digits and nothing else. The number is
// the time that the callee has from the moment when the headers are sent, in
// microseconds, rounded down. It is the caller's remaining time minus its
// reserve for the reply. It is relative, because the clocks of hosts differ.
//
//   tether-timeout: 1500000      1.5 s are left
//   tether-timeout: 0            no time is left
//
// Calls without a deadline have no such header. `tether-reserve` has the
// same form. It is sent if the reserve isn't the default (docs/wire_format.md):
// the receiver of a request that has waited must know it. gRPC's own
// `grpc-timeout` is sent too. It is rounded up, so it grows over many hops.
// Receivers use the earlier of the two. docs/wire_format.md describes the whole
// protocol.
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

// At most 15 characters, which a std::string holds without an allocation.
inline constexpr std::string_view kTimeoutHeader = "tether-timeout";
inline constexpr std::string_view kReserveHeader = "tether-reserve";

// The maximum number of digits. 10^18 µs are 31,700 years.
inline constexpr int kMaxTimeoutDigits = 18;

// Parses the value of either header: 0 to 10^18 - 1 µs. Leading zeros are
// accepted if there are at most 18 digits in total. Returns nullopt for
// anything else, such as "", "+1", "-1", "1 ", "0x1", "1.5", "1e6", or 19
// digits. `header` may have any content and length; at most 19 bytes are
// examined.
TETHER_EXPORT std::optional<absl::Duration> ParseTimeout(
    std::string_view header);

// Formats `left` in microseconds without leading zeros, rounded down: a hop
// never gives more time than it has. Zero and negative durations give "0".
// Durations of 10^18 µs or more, including InfiniteDuration(), give nullopt,
// which means to send no header. Up to 15 digits (31 years) allocate nothing.
TETHER_EXPORT std::optional<std::string> FormatTimeout(absl::Duration left);

}  // namespace tether

#endif  // TETHER_PROPAGATION_TIMEOUT_HEADER_H_
