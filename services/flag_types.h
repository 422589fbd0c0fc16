// SPDX-License-Identifier: Apache-2.0
//
// Types of command-line flags that reject invalid values, each with a one-line
// message.

#ifndef SHOP_SERVICES_FLAG_TYPES_H_
#define SHOP_SERVICES_FLAG_TYPES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace shop {

// The longest time that a flag accepts.
inline constexpr absl::Duration kLongestFlagDuration = absl::Hours(24);

// More than zero, at most 24h: "50ms", "1.5s".
struct Timeout {
  absl::Duration value;
};
bool AbslParseFlag(absl::string_view text, Timeout* timeout,
                   std::string* error);
std::string AbslUnparseFlag(const Timeout& timeout);

// Zero, or a Timeout.
struct Delay {
  absl::Duration value;
};
bool AbslParseFlag(absl::string_view text, Delay* delay, std::string* error);
std::string AbslUnparseFlag(const Delay& delay);

// A trace id in the format of W3C Trace Context: 32 lower-case hex digits, not
// all zero.
struct TraceId {
  std::string hex;
};
bool AbslParseFlag(absl::string_view text, TraceId* id, std::string* error);
std::string AbslUnparseFlag(const TraceId& id);

// Parses the flags. A bad flag, or an argument that isn't a flag, ends the
// process with exit code 1 or 2 and one line on standard error. --help prints
// `usage`, which says what the program does, and the flags of services/.
void ParseFlagsOrExit(int argc, char** argv, absl::string_view usage);

// Ends the process with exit code 2 and one line on standard error.
[[noreturn]] void ExitOverFlags(absl::string_view message);

}  // namespace shop

#endif  // SHOP_SERVICES_FLAG_TYPES_H_
