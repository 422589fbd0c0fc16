// SPDX-License-Identifier: Apache-2.0
//
// tetherctl's commands, except the screen of top.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_COMMANDS_H_
#define TETHER_OBSERVABILITY_TETHERCTL_COMMANDS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "observability/tetherctl/table.h"
#include "tether/context.h"
#include "tether/v1/inspector.pb.h"

namespace tether::ctl {

// Exit codes. If a signal ends top, or its terminal is closed, it is 128 and
// the number of the signal.

// The user has quit top; or all processes have answered, and there is something
// of the trace (tree), or no warning (doctor).
inline constexpr int kExitOk = 0;
// All processes have answered. doctor: there are warnings. tree: nothing of the
// trace is in flight.
inline constexpr int kExitFindings = 1;
// A process hasn't answered (not of top without --once), the command line is
// wrong, a file can't be read, there is no terminal for top, or the output
// can't be written.
inline constexpr int kExitTrouble = 2;

struct Settings {
  std::vector<std::string> addresses;
  absl::Duration timeout = absl::Seconds(2);
  absl::Duration interval = absl::Seconds(1);
  v1::ListRequest list;
  Order order;
  bool json = false;
  bool tls = false;
  std::string ca_cert;  // a file in PEM; "": the system's authorities
};

// What the command line asks for.
struct Command {
  enum class Name { kHelp, kTop, kTree, kDoctor };
  Name name = Name::kHelp;
  std::string trace_id;                // of kTree, lower-case
  std::vector<std::string> addresses;  // without repetitions
};

// `words`: the arguments that aren't flags. An error is for the user.
absl::StatusOr<Command> ParseCommand(const std::vector<std::string>& words);

// 32 hex digits in either case, not all zero, become lower-case.
absl::StatusOr<std::string> ParseTraceId(const std::string& text);

// An error if the file of the authorities can't be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const Settings& settings);

// Each asks all processes once, prints to `out`, in lines for `width` columns
// or as one line of JSON, and returns the exit code. Requires addresses.
int RunOnce(const Context& ctx, const Settings& settings, int width,
            std::ostream& out);
int RunTree(const Context& ctx, const Settings& settings,
            const std::string& trace_id, int width, std::ostream& out);
int RunDoctor(const Context& ctx, const Settings& settings, int width,
              std::ostream& out);

// What RunOnce prints without JSON.
std::string FormatOnce(const Snapshots& snapshots, Order order, int width);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_COMMANDS_H_
