// SPDX-License-Identifier: Apache-2.0
//
// tetherctl: what processes with tether serve and wait for.

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "observability/tetherctl/commands.h"
#include "observability/tetherctl/table.h"
#include "observability/tetherctl/text.h"
#include "observability/tetherctl/top.h"
#include "tether/context.h"
#include "tether/version.h"

ABSL_FLAG(bool, once, false,
          "top: print the table once, as plain text, and exit.");
ABSL_FLAG(bool, json, false,
          "top --once and doctor: print one JSON object instead "
          "(tetherctl/ctl.proto).");
ABSL_FLAG(absl::Duration, interval, absl::Seconds(1),
          "top: from one question to the next, 100ms to 1m.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(2),
          "How long to wait for an answer, up to 1m.");
ABSL_FLAG(std::string, method, "",
          "top: only requests and calls whose method contains this.");
ABSL_FLAG(std::string, trace, "",
          "top: only those of this trace: 32 hex digits.");
ABSL_FLAG(int32_t, max, 1000,
          "top: the most requests of each process, 1 to 10000: those with the "
          "least time left.");
ABSL_FLAG(std::string, sort, "left",
          "top: by left (the least time left first), age (the oldest first), "
          "method or process.");
ABSL_FLAG(bool, tls, false, "Connect with TLS. Without it: plaintext.");
ABSL_FLAG(std::string, ca_cert, "",
          "With --tls: the file (PEM) with the authorities to trust. Empty: "
          "the system's.");

namespace tether::ctl {
namespace {

constexpr char kHelp[] =
    R"(tetherctl shows what processes with tether serve and wait for, right now.

  tetherctl top HOST:PORT...            all requests in flight, as a live table
  tetherctl tree TRACE_ID HOST:PORT...  one request across processes
  tetherctl doctor HOST:PORT...         what loses or ignores contexts, and how
                                        to fix it
  tetherctl help
  tetherctl --version

HOST:PORT is a server with the service tether.v1.Inspector
(tether/observability/inspector_service.h). Give all processes at once. If one
doesn't answer, the others are shown all the same.

Examples:
  tetherctl top storefront:9090 orders:9090 inventory:9090
  tetherctl top --once --method=GetOrder --sort=age orders:9090
  tetherctl top --once --json orders:9090 | jq .processes[0].snapshot
  tetherctl tree 4bf92f3577b34da6a3ce929d0e0e4736 storefront:9090 orders:9090
  tetherctl doctor storefront:9090 orders:9090 || echo "there is work to do"

Keys of top:
  up, down, PgUp, PgDn, Home, End  select a request; its details are below
  t, a, m, s   sort by time left, age, method, process (server); r reverses
  /            show only methods or traces that contain a text; Esc: all
  p or space   pause
  q            quit

Columns: LEFT is the time until the deadline, and its bar is the share of the
time that is left. WAITS FOR is the call with the least time left; "3: " are
three calls.

Exit codes:
  0  top --once, tree: all processes have answered; top: you quit; doctor: there
     is nothing to fix
  1  doctor: there are warnings; tree: nothing of this trace is in flight
  2  a process didn't answer (not of top without --once), the command line is
     wrong, or it can't read, show or write something
  128 and the number of a signal: that has ended top

Flags:
)";

// Whether the command line is being parsed.
bool parsing = false;

int Fail(const std::string& message) {
  std::cerr << "ERROR: " << message << "\n"
            << "tetherctl help tells more." << std::endl;
  return kExitTrouble;
}

int PrintHelp() {
  constexpr int kNameWidth = 14;
  constexpr int kHelpWidth = 80;
  std::map<std::string, const absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::StrContains(flag->Filename(), "observability/tetherctl/")) {
      flags.emplace(std::string(name), flag);
    }
  }
  std::cout << kHelp;
  for (const auto& [name, flag] : flags) {
    const std::string value = flag->DefaultValue();
    const bool has_value = !value.empty() && value != "false";
    std::string text = Wrap(
        absl::StrCat(flag->Help(),
                     has_value ? absl::StrCat(" Default: ", value, ".") : ""),
        kNameWidth, kHelpWidth);
    const std::string title = absl::StrCat("  --", name);
    std::cout << text.replace(0, title.size(), title);
  }
  return kExitOk;
}

int PrintVersion() {
  std::cout << "tetherctl " << TETHER_VERSION_MAJOR << "."
            << TETHER_VERSION_MINOR << "." << TETHER_VERSION_PATCH << std::endl;
  return kExitOk;
}

bool HasWord(int argc, char** argv,
             std::initializer_list<std::string_view> words) {
  return std::any_of(argv + 1, argv + argc, [&](std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  });
}

// Returns the words that aren't flags. A bad flag ends the process.
std::vector<std::string> ParseFlags(int argc, char** argv) {
  absl::SetProgramUsageMessage("shows what processes with tether serve");
  // Abseil exits with 1, which means something else here.
  std::atexit([] {
    if (!parsing) return;
    std::cout.flush();
    std::_Exit(kExitTrouble);
  });
  parsing = true;
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  parsing = false;
  return {words.begin() + 1, words.end()};
}

absl::Status ReadFlags(Settings& settings) {
  const auto bad = [](const std::string& text) {
    return absl::InvalidArgumentError(text);
  };
  settings.json = absl::GetFlag(FLAGS_json);
  settings.tls = absl::GetFlag(FLAGS_tls);
  settings.ca_cert = absl::GetFlag(FLAGS_ca_cert);
  if (!settings.ca_cert.empty() && !settings.tls) {
    return bad("--ca_cert needs --tls");
  }
  settings.timeout = absl::GetFlag(FLAGS_timeout);
  if (settings.timeout <= absl::ZeroDuration() ||
      settings.timeout > absl::Minutes(1)) {
    return bad("--timeout must be more than 0 and at most 1m");
  }
  settings.interval = absl::GetFlag(FLAGS_interval);
  if (settings.interval < absl::Milliseconds(100) ||
      settings.interval > absl::Minutes(1)) {
    return bad("--interval must be 100ms to 1m");
  }
  const int max = absl::GetFlag(FLAGS_max);
  if (max < 1 || max > 10'000) return bad("--max must be 1 to 10000");
  settings.list.set_max_entries(max);
  settings.list.set_method_contains(absl::GetFlag(FLAGS_method));
  if (const std::string trace = absl::GetFlag(FLAGS_trace); !trace.empty()) {
    const auto id = ParseTraceId(trace);
    if (!id.ok()) {
      return bad(absl::StrCat("--trace: ", std::string(id.status().message())));
    }
    settings.list.set_trace_id(*id);
  }
  const auto key = SortKeyNamed(absl::GetFlag(FLAGS_sort));
  if (!key.has_value()) {
    return bad("--sort must be left, age, method or process");
  }
  settings.order.key = *key;
  return absl::OkStatus();
}

// That of the terminal; $COLUMNS or enough for all columns without one.
int OutputWidth() {
  constexpr int kEnough = 160;
  winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  const char* columns = std::getenv("COLUMNS");
  int width = 0;
  return columns != nullptr && absl::SimpleAtoi(columns, &width) && width > 0 &&
                 width < 10'000
             ? width
             : kEnough;
}

int Run(const Command& command, const Settings& settings) {
  const Context ctx = Background();
  switch (command.name) {
    case Command::Name::kTop:
      if (absl::GetFlag(FLAGS_once)) {
        return RunOnce(ctx, settings, OutputWidth(), std::cout);
      }
      if (settings.json) return Fail("--json needs --once");
      return RunTop(settings);
    case Command::Name::kTree:
      if (settings.json) return Fail("--json is for top --once and doctor");
      return RunTree(ctx, settings, command.trace_id, OutputWidth(), std::cout);
    case Command::Name::kDoctor:
      return RunDoctor(ctx, settings, OutputWidth(), std::cout);
    case Command::Name::kHelp:
      break;
  }
  return PrintHelp();
}

int Main(int argc, char** argv) {
  // gRPC's own log would disturb the screen. Errors are shown anyway.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  if (HasWord(argc, argv, {"--help", "-help", "-h"})) return PrintHelp();
  // Before Abseil sees it: that has a flag of this name, which prints less.
  if (HasWord(argc, argv, {"--version", "-version"})) return PrintVersion();
  const auto command = ParseCommand(ParseFlags(argc, argv));
  if (!command.ok()) return Fail(std::string(command.status().message()));
  Settings settings;
  settings.addresses = command->addresses;
  if (const absl::Status status = ReadFlags(settings); !status.ok()) {
    return Fail(std::string(status.message()));
  }
  const int exit_code = Run(*command, settings);
  std::cout.flush();
  if (!std::cout && exit_code == kExitOk) return Fail("can't write the output");
  return exit_code;
}

}  // namespace
}  // namespace tether::ctl

int main(int argc, char** argv) { return tether::ctl::Main(argc, argv); }
