// SPDX-License-Identifier: Apache-2.0
//
// The command line of tether-sidecar.

#ifndef TETHER_SIDECAR_FLAGS_H_
#define TETHER_SIDECAR_FLAGS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sidecar/options.h"

namespace tether::sidecar {

// When the command line is wrong: EX_USAGE of sysexits.h.
inline constexpr int kExitUsage = 64;

// Parses the command line. A mistake ends the process with kExitUsage and one
// line on standard error. --help and --version print to standard output and end
// it with 0.
void ParseFlagsOrExit(int argc, char** argv);

// Ends the process with kExitUsage and one line on standard error.
[[noreturn]] void ExitOverFlags(const std::string& message);

// INVALID_ARGUMENT: the flags don't go together, or (without --config) say
// something wrong. The message is one line.
absl::Status CheckFlags();

// What the flags say; with --config, reads the file anew, and the errors are
// those of LoadConfig (config.h). Requires that CheckFlags() is OK.
absl::StatusOr<SidecarOptions> OptionsFromFlags();

// --config; "" if it isn't set.
std::string ConfigFlag();

// --check.
bool IsCheck();

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_FLAGS_H_
