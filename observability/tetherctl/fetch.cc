// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/fetch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "observability/tetherctl/clean.h"
#include "tether/grpc/client.h"
#include "tether/grpc/status.h"
#include "tether/observability/snapshot.h"
#include "tether/task_group.h"

namespace tether::ctl {
namespace {

constexpr int kMaxErrorSize = 160;

// gRPC may fail its first attempt to connect on a loaded machine although the
// server listens, so a lost connection counts only when it is lost again.
constexpr int kAttempts = 3;
constexpr absl::Duration kBetweenAttempts = absl::Milliseconds(100);

grpc::ChannelArguments Arguments() {
  // gRPC's limit for answers, 4 MiB, stays: an Inspector keeps below it, and a
  // hostile host must not make tetherctl use much memory.
  grpc::ChannelArguments arguments;
  // A process that has started again should be seen soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return arguments;
}

// Calls `rpc` with calls for `ctx`, until one ends with something else than
// UNAVAILABLE.
template <typename Rpc>
grpc::Status Ask(const Context& ctx, absl::Duration timeout, const Rpc& rpc) {
  auto [ask_ctx, cancel] = WithTimeout(ctx, timeout);
  grpc::Status status;
  for (int attempt = 1;; ++attempt) {
    ClientCall call(ask_ctx);
    status = rpc(call);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE ||
        attempt == kAttempts || ask_ctx.WaitFor(kBetweenAttempts)) {
      return status;
    }
  }
}

// Runs `ask(i)` for each process at once.
template <typename AskOne>
void AskAll(const Context& ctx, size_t count, const AskOne& ask) {
  TaskGroup group(ctx, KeepGoing());
  for (size_t i = 0; i < count; ++i) {
    group.Go([&ask, i](const Context& c) { ask(c, i); });
  }
  (void)group.Wait();
}

// What gRPC says about a failed connection ends with the system's reason:
// "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1:
// Failed to connect to remote host: Connection refused".
std::string ConnectionError(const std::string& message) {
  const size_t last = message.rfind(": ");
  return absl::StrContains(message, "ailed to connect") &&
                 last != std::string::npos
             ? message.substr(last + 2)
             : message;
}

void MakeOlder(v1::InFlightCall& call, int64_t us) {
  call.set_age_us(call.age_us() + us);
  if (call.has_time_left_us()) call.set_time_left_us(call.time_left_us() - us);
}

}  // namespace

Process::Process(std::string address,
                 const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                 absl::Duration timeout)
    : address_(std::move(address)),
      timeout_(timeout),
      stub_(v1::Inspector::NewStub(
          CreateChannel(address_, credentials, {}, Arguments()))) {}

ProcessSnapshot Process::List(const Context& ctx,
                              const v1::ListRequest& list) const {
  ProcessSnapshot result;
  v1::Snapshot snapshot;
  const grpc::Status status = Ask(ctx, timeout_, [&](ClientCall& call) {
    return stub_->List(&call, list, &snapshot);
  });
  if (status.ok()) {
    CleanMessage(snapshot);
    *result.mutable_snapshot() = std::move(snapshot);
  } else {
    result.set_error(ErrorText(status, timeout_));
  }
  result.set_address(address_);
  return result;
}

ProcessDiagnosis Process::Diagnose(const Context& ctx) const {
  ProcessDiagnosis result;
  v1::PropagationHealth health;
  const grpc::Status status = Ask(ctx, timeout_, [&](ClientCall& call) {
    return stub_->GetPropagationHealth(&call, {}, &health);
  });
  if (status.ok()) {
    CleanMessage(health);
    *result.mutable_health() = std::move(health);
  } else if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) {
    result.set_error(
        "it doesn't count: call tether::StartMetrics() when the process starts "
        "(tether/observability/metrics.h)");
  } else {
    result.set_error(ErrorText(status, timeout_));
  }
  result.set_address(address_);
  return result;
}

Processes Connect(const std::vector<std::string>& addresses,
                  const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                  absl::Duration timeout) {
  Processes processes;
  for (const std::string& address : addresses) {
    processes.push_back(
        std::make_unique<const Process>(address, credentials, timeout));
  }
  return processes;
}

Snapshots ListAll(const Context& ctx, const Processes& processes,
                  const v1::ListRequest& list) {
  std::vector<ProcessSnapshot> answers(processes.size());
  std::vector<absl::Time> answered(processes.size());
  AskAll(ctx, processes.size(), [&](const Context& c, size_t i) {
    answers[i] = processes[i]->List(c, list);
    answered[i] = absl::Now();
  });
  absl::Time last = absl::InfinitePast();
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].has_snapshot()) last = std::max(last, answered[i]);
  }
  Snapshots snapshots;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].has_snapshot()) {
      MakeOlder(*answers[i].mutable_snapshot(),
                absl::ToInt64Microseconds(last - answered[i]));
    }
    *snapshots.add_processes() = std::move(answers[i]);
  }
  return snapshots;
}

Diagnoses DiagnoseAll(const Context& ctx, const Processes& processes) {
  std::vector<ProcessDiagnosis> answers(processes.size());
  AskAll(ctx, processes.size(), [&](const Context& c, size_t i) {
    answers[i] = processes[i]->Diagnose(c);
  });
  Diagnoses diagnoses;
  for (ProcessDiagnosis& answer : answers) {
    *diagnoses.add_processes() = std::move(answer);
  }
  return diagnoses;
}

void MakeOlder(v1::Snapshot& snapshot, int64_t us) {
  for (v1::InFlightRequest& request : *snapshot.mutable_requests()) {
    request.set_age_us(request.age_us() + us);
    if (request.has_time_left_us()) {
      request.set_time_left_us(request.time_left_us() - us);
    }
    if (request.has_ended_ago_us()) {
      request.set_ended_ago_us(request.ended_ago_us() + us);
    }
    for (v1::InFlightCall& call : *request.mutable_waits_for()) {
      MakeOlder(call, us);
    }
  }
  for (v1::InFlightCall& call : *snapshot.mutable_other_calls()) {
    MakeOlder(call, us);
  }
}

std::string ErrorText(const grpc::Status& status, absl::Duration timeout) {
  const std::string& message = status.error_message();
  std::string text;
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      text = absl::StrCat("no answer within ", absl::FormatDuration(timeout));
      break;
    case grpc::StatusCode::CANCELLED:
      text = "the question was cancelled";
      break;
    case grpc::StatusCode::UNAVAILABLE:
      text = absl::StrCat("no connection: ", ConnectionError(message));
      break;
    case grpc::StatusCode::UNIMPLEMENTED:
      text =
          "no tether.v1.Inspector there: register "
          "tether::MakeInspectorService() on this server";
      break;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      // gRPC has no other sign of it than its words.
      if (absl::StrContains(message, "message larger than max")) {
        text = "the answer is larger than tetherctl accepts (4 MiB)";
        break;
      }
      [[fallthrough]];
    default:
      text = FromGrpcStatus(status).ToString(
          absl::StatusToStringMode::kWithNoExtraData);
  }
  return CleanText(text, kMaxErrorSize);
}

}  // namespace tether::ctl
