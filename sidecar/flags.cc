// SPDX-License-Identifier: Apache-2.0

#include "sidecar/flags.h"

#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sidecar/config.h"
#include "sidecar/config_errors.h"
#include "sidecar/config_reader.h"
#include "sidecar/options.h"
#include "tether/v1/sidecar.pb.h"
#include "tether/version.h"

ABSL_FLAG(std::string, config, "",
          "The file with the configuration (tether.v1.SidecarConfig as text).");
ABSL_FLAG(bool, check, false,
          "Check the configuration, print ok or what is wrong, and exit.");
ABSL_FLAG(std::string, ingress, "", "The address for the app's callers.");
ABSL_FLAG(std::string, app, "", "The address of the app.");
ABSL_FLAG(std::string, egress, "",
          "The ports for the app's calls: LISTEN=TARGET[,LISTEN=TARGET...].");
ABSL_FLAG(std::string, connect, "",
          "The address for apps that are told of an HTTP proxy.");
ABSL_FLAG(std::string, mode, "", "observe, deadline or full.");
ABSL_FLAG(std::string, admin, "", "The address of the status page.");

namespace tether::sidecar {
namespace {

constexpr const char* kHelp =
    R"(tether-sidecar passes calls to and from a service (the app), and gives the calls
that the app makes the deadline and the cancellation of the request that they
are made for.

Usage:
  tether-sidecar --config=FILE [--check]
  tether-sidecar --ingress=ADDRESS --app=ADDRESS
      [--egress=LISTEN=TARGET[,LISTEN=TARGET...]]
      [--connect=ADDRESS] [--mode=observe|deadline|full] [--admin=ADDRESS]
      [--check]

Examples:
  tether-sidecar --config=/etc/tether/sidecar.textproto
  tether-sidecar --ingress=0.0.0.0:50051 --app=127.0.0.1:8080 \
      --egress=127.0.0.1:15001=dns:///orders:50051 --mode=full

Flags:
  --config=FILE      The configuration; proto/tether/v1/sidecar.proto explains
                     each field. Not together with the flags below.
  --check            Check the configuration, print "ok" or what is wrong, and
                     exit with 0 or 1.
  --ingress=ADDRESS  Where the app's callers connect: host:port, [v6]:port or
                     unix:/path.
  --app=ADDRESS      Where the app listens.
  --egress=...       Where the app connects for each target, and the target.
                     LISTEN is on loopback or a unix socket.
  --connect=ADDRESS  Takes CONNECT requests for the targets, as an HTTP proxy
                     does, on loopback. Default: off.
  --mode=MODE        observe (the default): count only. deadline: calls get
                     deadlines. full: calls also end with their request.
  --admin=ADDRESS    The status page, over HTTP, on loopback. Default: off.
  --help, --version

Signals:
  SIGHUP             Read the configuration anew. If it is wrong, the old one
                     stays.
  SIGTERM, SIGINT    Stop accepting requests, let those that run go on for
                     `drain` (10 s), and exit.

Exit codes:
  0   it was stopped by SIGTERM or SIGINT; --check: ok
  1   the configuration is wrong, or a port can't be listened on
  64  the command line is wrong
)";

// While the command line is being parsed.
bool parsing = false;

// Forwards a stream's first line, and drops the others.
class FirstLine : public std::streambuf {
 public:
  explicit FirstLine(std::streambuf* output) : output_(output) {}

 protected:
  int_type overflow(int_type c) override {
    if (done_ || traits_type::eq_int_type(c, traits_type::eof())) {
      return traits_type::not_eof(c);
    }
    const char text = traits_type::to_char_type(c);
    done_ = text == '\n';
    return output_->sputc(text);
  }

 private:
  std::streambuf* const output_;
  bool done_ = false;
};

// Abseil has flags of these names, which print other texts.
void AnswerQuestions(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") return;
    if (word == "--help" || word == "-help" || word == "-h") {
      std::cout << kHelp << std::flush;
      std::exit(0);
    }
    if (word == "--version" || word == "-version") {
      std::cout << "tether-sidecar " << TETHER_VERSION_MAJOR << "."
                << TETHER_VERSION_MINOR << "." << TETHER_VERSION_PATCH
                << std::endl;
      std::exit(0);
    }
  }
}

// Abseil would let the last one win.
void RefuseRepeatedFlags(int argc, char** argv) {
  std::set<std::string_view> seen;
  for (int i = 1; i < argc; ++i) {
    std::string_view name = argv[i];
    if (name == "--") return;
    if (name.substr(0, 1) != "-") continue;
    name.remove_prefix(name.substr(0, 2) == "--" ? 2 : 1);
    name = name.substr(0, name.find('='));
    if (seen.insert(name).second) continue;
    ExitOverFlags(absl::StrCat(
        "--", absl::string_view(name.data(), name.size()), " is given twice",
        name == "egress" ? "; write LISTEN=TARGET,LISTEN=TARGET" : ""));
  }
}

absl::Status Bad(const std::string& text) {
  return absl::InvalidArgumentError(text);
}

// The flag that sets a field.
std::string FlagOf(const std::string& path) {
  if (path == "ingress.app") return "--app";
  if (absl::StartsWith(path, "ingress")) return "--ingress";
  if (absl::StartsWith(path, "egress")) return "--egress";
  if (absl::StartsWith(path, "admin")) return "--admin";
  if (absl::StartsWith(path, "connect")) return "--connect";
  return absl::StrCat("--", path);
}

// In either case, since the file has upper case.
std::optional<v1::SidecarConfig::Mode> ModeNamed(const std::string& text) {
  const std::string name = absl::AsciiStrToLower(text);
  if (name.empty()) return v1::SidecarConfig::MODE_UNSPECIFIED;
  if (name == "observe") return v1::SidecarConfig::OBSERVE;
  if (name == "deadline") return v1::SidecarConfig::DEADLINE;
  if (name == "full") return v1::SidecarConfig::FULL;
  return std::nullopt;
}

absl::StatusOr<v1::SidecarConfig> ConfigOfFlags() {
  v1::SidecarConfig config;
  config.mutable_ingress()->set_listen(absl::GetFlag(FLAGS_ingress));
  config.mutable_ingress()->set_app(absl::GetFlag(FLAGS_app));
  const std::string ports = absl::GetFlag(FLAGS_egress);
  for (const auto& port : absl::StrSplit(ports, ',', absl::SkipEmpty())) {
    const std::vector<std::string> parts =
        absl::StrSplit(port, absl::MaxSplits('=', 1));
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      return Bad(absl::StrCat("--egress: ", Quoted({port.data(), port.size()}),
                              " is not LISTEN=TARGET"));
    }
    v1::Egress& egress = *config.add_egress();
    egress.set_listen(parts[0]);
    egress.set_target(parts[1]);
  }
  config.set_connect_listen(absl::GetFlag(FLAGS_connect));
  const auto mode = ModeNamed(absl::GetFlag(FLAGS_mode));
  if (!mode) {
    return Bad(absl::StrCat("--mode: ", Quoted(absl::GetFlag(FLAGS_mode)),
                            " is not observe, deadline or full"));
  }
  config.set_mode(*mode);
  config.mutable_admin()->set_http_listen(absl::GetFlag(FLAGS_admin));
  return config;
}

absl::StatusOr<SidecarOptions> OptionsWithoutFile() {
  const absl::StatusOr<v1::SidecarConfig> config = ConfigOfFlags();
  if (!config.ok()) return config.status();
  ConfigErrors errors(FlagOf);
  SidecarOptions options = ReadConfig(
      *config, ConfigPlace(*config->GetDescriptor(), nullptr), errors);
  if (errors.empty()) return options;
  const std::string all(errors.ToStatus().message());
  return Bad(all.substr(0, all.find('\n')));
}

}  // namespace

void ExitOverFlags(const std::string& message) {
  std::cerr << "ERROR: " << message << std::endl;
  std::exit(kExitUsage);
}

void ParseFlagsOrExit(int argc, char** argv) {
  AnswerQuestions(argc, argv);
  RefuseRepeatedFlags(argc, argv);
  absl::SetProgramUsageMessage("see --help");
  // Abseil prints one or two lines per mistake, and exits with 1. So the
  // replacement stream must outlive this function.
  std::atexit([] {
    if (!parsing) return;
    std::cerr.flush();
    std::_Exit(kExitUsage);
  });
  static std::streambuf* const stderr_buffer = std::cerr.rdbuf();
  static auto& first_line = *new FirstLine(stderr_buffer);
  std::cerr.rdbuf(&first_line);
  parsing = true;
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  parsing = false;
  std::cerr.rdbuf(stderr_buffer);
  if (rest.size() > 1) {
    ExitOverFlags(absl::StrCat(Quoted(rest[1]), " is not a flag"));
  }
}

absl::Status CheckFlags() {
  if (ConfigFlag().empty()) {
    if (absl::GetFlag(FLAGS_ingress).empty() &&
        absl::GetFlag(FLAGS_app).empty()) {
      return Bad("--config, or --ingress and --app, is required; see --help");
    }
    return OptionsWithoutFile().status();
  }
  const std::pair<const char*, std::string> others[] = {
      {"ingress", absl::GetFlag(FLAGS_ingress)},
      {"app", absl::GetFlag(FLAGS_app)},
      {"egress", absl::GetFlag(FLAGS_egress)},
      {"connect", absl::GetFlag(FLAGS_connect)},
      {"mode", absl::GetFlag(FLAGS_mode)},
      {"admin", absl::GetFlag(FLAGS_admin)},
  };
  for (const auto& [name, value] : others) {
    if (value.empty()) continue;
    return Bad(absl::StrCat("--", name,
                            " can't be used together with --config; set it in "
                            "the file"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SidecarOptions> OptionsFromFlags() {
  const std::string file = ConfigFlag();
  return file.empty() ? OptionsWithoutFile() : LoadConfig(file);
}

std::string ConfigFlag() { return absl::GetFlag(FLAGS_config); }

bool IsCheck() { return absl::GetFlag(FLAGS_check); }

}  // namespace tether::sidecar
