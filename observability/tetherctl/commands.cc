// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/commands.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "observability/tetherctl/doctor.h"
#include "observability/tetherctl/fetch.h"
#include "observability/tetherctl/json.h"
#include "observability/tetherctl/text.h"
#include "observability/tetherctl/tree.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

constexpr size_t kMaxAddresses = 100;
constexpr size_t kTraceIdDigits = 32;
constexpr int kMaxTreeEntries = 10'000;
constexpr int kTraceFrom = 116;  // columns

absl::Status Bad(const std::string& message) {
  return absl::InvalidArgumentError(message);
}

absl::Status CheckAddress(const std::string& address) {
  // Other targets of gRPC's.
  if (absl::StrContains(address, "://") || absl::StartsWith(address, "unix:")) {
    return absl::OkStatus();
  }
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 ||
      port > 65535) {
    return Bad(absl::StrCat("'", address, "' isn't HOST:PORT"));
  }
  return absl::OkStatus();
}

absl::Status AddAddresses(std::vector<std::string>::const_iterator begin,
                          std::vector<std::string>::const_iterator end,
                          Command& command) {
  for (; begin != end; ++begin) {
    if (absl::Status status = CheckAddress(*begin); !status.ok()) return status;
    std::vector<std::string>& known = command.addresses;
    if (std::find(known.begin(), known.end(), *begin) == known.end()) {
      known.push_back(*begin);
    }
  }
  if (command.addresses.empty()) {
    return Bad("HOST:PORT is missing: the address of at least one process");
  }
  if (command.addresses.size() > kMaxAddresses) {
    return Bad(absl::StrCat("more than ", kMaxAddresses, " processes"));
  }
  return absl::OkStatus();
}

// The line of a process above the table.
std::string ProcessLine(const ProcessSnapshot& process) {
  if (!process.has_snapshot()) {
    return absl::StrCat(process.address(), ": ", process.error());
  }
  const v1::Snapshot& snapshot = process.snapshot();
  const int64_t in_flight =
      snapshot.requests_in_flight() + snapshot.calls_in_flight();
  int64_t listed = snapshot.requests_size() + snapshot.other_calls_size();
  for (const v1::InFlightRequest& request : snapshot.requests()) {
    listed += request.waits_for_size();
  }
  return absl::StrCat(process.address(), ": ",
                      snapshot.process().empty() ? "?" : snapshot.process(),
                      ", pid ", snapshot.pid(), ", ",
                      Count(snapshot.requests_in_flight(), "request"), ", ",
                      Count(snapshot.calls_in_flight(), "call"),
                      listed < in_flight ? " (not all are listed)" : "");
}

int PrintJson(const google::protobuf::Message& message, int exit_code,
              std::ostream& out) {
  const std::string json = ToJson(message);
  if (json.empty()) {
    std::cerr << "ERROR: an answer can't be written as JSON" << std::endl;
    return kExitTrouble;
  }
  out << json << "\n";
  return exit_code;
}

bool AllHaveAnswered(const Snapshots& snapshots) {
  return std::all_of(
      snapshots.processes().begin(), snapshots.processes().end(),
      [](const auto& process) { return process.has_snapshot(); });
}

absl::StatusOr<Processes> ConnectAll(const Settings& settings) {
  const auto credentials = MakeCredentials(settings);
  if (!credentials.ok()) return credentials.status();
  return Connect(settings.addresses, *credentials, settings.timeout);
}

int Fail(const absl::Status& status) {
  std::cerr << "ERROR: " << std::string(status.message()) << std::endl;
  return kExitTrouble;
}

}  // namespace

absl::StatusOr<Command> ParseCommand(const std::vector<std::string>& words) {
  Command command;
  if (words.empty()) return Bad("a command is missing: top, tree or doctor");
  auto next = words.begin() + 1;
  if (words[0] == "help") return command;
  if (words[0] == "top") {
    command.name = Command::Name::kTop;
  } else if (words[0] == "doctor") {
    command.name = Command::Name::kDoctor;
  } else if (words[0] == "tree") {
    command.name = Command::Name::kTree;
    if (next == words.end()) return Bad("TRACE_ID is missing");
    const auto trace_id = ParseTraceId(*next++);
    if (!trace_id.ok()) return trace_id.status();
    command.trace_id = *trace_id;
  } else {
    return Bad(absl::StrCat("unknown command '", words[0],
                            "'; there are top, tree, doctor and help"));
  }
  if (absl::Status status = AddAddresses(next, words.end(), command);
      !status.ok()) {
    return status;
  }
  return command;
}

absl::StatusOr<std::string> ParseTraceId(const std::string& text) {
  if (text.size() != kTraceIdDigits ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isxdigit)) {
    return Bad(absl::StrCat("'", text, "' isn't a trace id: 32 hex digits"));
  }
  if (text.find_first_not_of('0') == std::string::npos) {
    return Bad("a trace id can't be all zeros");
  }
  return absl::AsciiStrToLower(text);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const Settings& settings) {
  if (!settings.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  if (!settings.ca_cert.empty()) {
    errno = 0;
    std::ifstream file(settings.ca_cert);
    std::ostringstream text;
    text << file.rdbuf();
    options.pem_root_certs = text.str();
    if (!file || options.pem_root_certs.empty()) {
      return Bad(
          absl::StrCat("can't read --ca_cert=", settings.ca_cert, ": ",
                       errno == 0 ? "it is empty" : std::strerror(errno)));
    }
  }
  return grpc::SslCredentials(options);
}

int RunOnce(const Context& ctx, const Settings& settings, int width,
            std::ostream& out) {
  const auto processes = ConnectAll(settings);
  if (!processes.ok()) return Fail(processes.status());
  const Snapshots snapshots = ListAll(ctx, *processes, settings.list);
  const int exit_code = AllHaveAnswered(snapshots) ? kExitOk : kExitTrouble;
  if (settings.json) return PrintJson(snapshots, exit_code, out);
  out << FormatOnce(snapshots, settings.order, width);
  return exit_code;
}

std::string FormatOnce(const Snapshots& snapshots, Order order, int width) {
  std::string text;
  for (const ProcessSnapshot& process : snapshots.processes()) {
    absl::StrAppend(&text, ProcessLine(process), "\n");
  }
  const std::vector<Row> rows = MakeRows(snapshots, "", order);
  if (rows.empty()) return text;
  const Columns columns = ColumnsFor(rows, width, kTraceFrom);
  absl::StrAppend(&text, "\n", TextOf(HeadingLine(columns)), "\n");
  for (const Row& row : rows) {
    absl::StrAppend(&text, TextOf(RowLine(row, columns, Glyphs())), "\n");
  }
  return text;
}

int RunTree(const Context& ctx, const Settings& settings,
            const std::string& trace_id, int width, std::ostream& out) {
  const auto processes = ConnectAll(settings);
  if (!processes.ok()) return Fail(processes.status());
  v1::ListRequest list;
  list.set_trace_id(trace_id);
  list.set_max_entries(kMaxTreeEntries);
  const Snapshots snapshots = ListAll(ctx, *processes, list);
  const Tree tree = BuildTree(snapshots, trace_id);
  if (tree.empty()) {
    out << "Nothing of trace " << trace_id << " is in flight.\n";
  } else {
    out << FormatTree(snapshots, tree, width);
  }
  for (const ProcessSnapshot& process : snapshots.processes()) {
    if (!process.has_snapshot()) out << ProcessLine(process) << "\n";
  }
  if (!AllHaveAnswered(snapshots)) return kExitTrouble;
  return tree.empty() ? kExitFindings : kExitOk;
}

int RunDoctor(const Context& ctx, const Settings& settings, int width,
              std::ostream& out) {
  const auto processes = ConnectAll(settings);
  if (!processes.ok()) return Fail(processes.status());
  const Diagnoses diagnoses = DiagnoseAll(ctx, *processes);
  const int exit_code = ExitCodeOf(diagnoses);
  if (settings.json) return PrintJson(diagnoses, exit_code, out);
  out << FormatDiagnoses(diagnoses, width);
  return exit_code;
}

}  // namespace tether::ctl
