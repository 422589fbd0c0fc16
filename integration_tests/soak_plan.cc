// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/soak_plan.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "tether/grpc/reserve.h"

namespace tether::soak {
namespace {

using matrix::Kind;
using matrix::Request;

int Pick(std::mt19937& random, int count) {
  return static_cast<int>(random() % static_cast<uint32_t>(count));
}

absl::Duration PickMicros(std::mt19937& random, int most) {
  return absl::Microseconds(Pick(random, most + 1));
}

bool StreamsBack(Kind kind) {
  return kind == Kind::kDownload || kind == Kind::kChat;
}

bool ClientStreams(Kind kind) {
  return kind == Kind::kUpload || kind == Kind::kChat;
}

// True if the server answers only when the call's context has ended.
bool NeedsEnd(Request request) {
  return request == Request::kWait || request == Request::kWriteToEnd;
}

Request PickRequest(std::mt19937& random, Kind kind) {
  const int percent = Pick(random, 100);
  if (percent < 10) return Request::kFail;
  if (percent < 40) return Request::kWait;
  if (percent < 50 && ClientStreams(kind)) return Request::kReadToEnd;
  if (percent < 55 && StreamsBack(kind)) return Request::kWriteToEnd;
  return Request::kAnswer;
}

Route PickRoute(std::mt19937& random) {
  Route route;
  route.relay = Pick(random, kRelays + 1) - 1;
  route.leaf = Pick(random, kLeaves);
  route.relay_by_link = route.relay == 0 && Pick(random, 2) == 0;
  route.leaf_by_link = route.leaf < kLeaves - 1 && Pick(random, 2) == 0;
  return route;
}

absl::Duration PickTimeout(std::mt19937& random) {
  const int percent = Pick(random, 100);
  if (percent < 3) return absl::ZeroDuration();
  if (percent < 5) return absl::Seconds(-1);
  if (percent < 40) return PickMicros(random, 20'000);
  if (percent < 60) return PickMicros(random, 200'000);
  if (percent < 61) return PickMicros(random, 2'000'000);
  return absl::InfiniteDuration();
}

const char* Name(Request request) {
  constexpr const char* kNames[] = {"Answer", "Fail", "Wait", "ReadToEnd",
                                    "WriteToEnd"};
  return kNames[static_cast<int>(request)];
}

// "" if the status of a call that a deadline ended fits.
std::string ProblemWithDeadline(const Plan& plan, const Outcome& outcome,
                                absl::Duration tolerance) {
  if (plan.timeout == absl::InfiniteDuration()) return "it has no deadline";
  if (outcome.elapsed <
      plan.timeout - ReserveOfHops(plan.timeout) - tolerance) {
    return "before the deadline";
  }
  return "";
}

std::string ProblemWithAnswer(const Plan& plan, const Outcome& outcome) {
  if (plan.stop == Plan::Stop::kBefore) return "it was stopped before";
  if (plan.timeout <= absl::ZeroDuration()) return "it had no time";
  if (!outcome.status.ok()) {
    return plan.request == Request::kFail ? "" : "it can't fail";
  }
  if (plan.request != Request::kAnswer && plan.request != Request::kReadToEnd) {
    return "it can't succeed";
  }
  int expected = 1;
  if (StreamsBack(plan.kind)) {
    expected = plan.request == Request::kAnswer ? matrix::kMessages : 0;
  }
  return outcome.messages == expected ? "" : "messages are missing";
}

std::string ProblemWithCancellation(const Plan& plan, const Outcome& outcome) {
  if (plan.stop == Plan::Stop::kBefore || plan.stop == Plan::Stop::kDuring) {
    return "";
  }
  // gRPC answers so if a server is shut down when the request has just arrived
  // and has no handler yet.
  if (!plan.route.IsCalm() && outcome.status.error_message() == "CANCELLED") {
    return "";
  }
  return "nobody cancelled it";
}

bool ReasonFits(const Plan& plan, const Outcome& outcome) {
  const EndReason reason = outcome.reason;
  switch (outcome.status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      // A server whose deadline is too early isn't believed.
      return reason == EndReason::kOwnTimeout ||
             (reason == EndReason::kCompleted &&
              outcome.elapsed < plan.timeout);
    case grpc::StatusCode::CANCELLED:
      // A server that is shut down answers so, too (ProblemWithCancellation).
      return reason == EndReason::kCancelled ||
             (reason == EndReason::kCompleted && !plan.route.IsCalm() &&
              outcome.status.error_message() == "CANCELLED");
    case grpc::StatusCode::UNAVAILABLE:
      return reason == EndReason::kConnectionLost ||
             reason == EndReason::kCompleted;
    default:
      return reason == EndReason::kCompleted;
  }
}

}  // namespace

bool Route::IsCalm() const {
  return relay != 0 && leaf == kLeaves - 1 && !relay_by_link && !leaf_by_link;
}

absl::Duration Plan::Limit() const {
  absl::Duration limit = std::max(timeout, absl::ZeroDuration());
  if (stop == Stop::kBefore) limit = absl::ZeroDuration();
  if (stop == Stop::kDuring) limit = std::min(limit, stop_after);
  return limit;
}

absl::Duration ReserveOfHops(absl::Duration timeout) {
  return 2 * Reserve{}.Of(timeout);
}

Plan MakePlan(std::mt19937& random) {
  Plan plan;
  plan.client =
      matrix::kClientStyles[Pick(random, std::size(matrix::kClientStyles))];
  plan.relay_client =
      matrix::kClientStyles[Pick(random, std::size(matrix::kClientStyles))];
  plan.kind = matrix::kKinds[Pick(random, std::size(matrix::kKinds))];
  plan.request = PickRequest(random, plan.kind);
  plan.route = PickRoute(random);
  plan.plain = Pick(random, 3) == 0;
  plan.timeout = PickTimeout(random);
  const int percent = Pick(random, 100);
  plan.stop = percent < 3    ? Plan::Stop::kBefore
              : percent < 30 ? Plan::Stop::kDuring
              : percent < 33 ? Plan::Stop::kAfter
                             : Plan::Stop::kNever;
  plan.stop_by = static_cast<Plan::StopBy>(Pick(random, 3));
  plan.stop_after = PickMicros(random, 20'000);
  if (NeedsEnd(plan.request) && plan.Limit() > absl::Milliseconds(500)) {
    plan.timeout = PickMicros(random, 30'000);
  }
  plan.waits_for_ready =
      plan.Limit() < absl::InfiniteDuration() && Pick(random, 4) == 0;
  return plan;
}

std::string Describe(const Plan& plan) {
  constexpr const char* kStops[] = {"never", "before", "during", "after"};
  constexpr const char* kStopBys[] = {"context", "parent", "TryCancel"};
  return absl::StrCat(
      matrix::Name(plan.client), " ", matrix::Name(plan.kind), " ",
      Name(plan.request), plan.plain ? " plain" : "",
      plan.waits_for_ready ? " waits_for_ready" : "", "; relay ",
      plan.route.relay, plan.route.relay_by_link ? " by link" : "", ", leaf ",
      plan.route.leaf, plan.route.leaf_by_link ? " by link" : "", "; timeout ",
      absl::FormatDuration(plan.timeout), "; stopped ",
      kStops[static_cast<int>(plan.stop)], " by ",
      kStopBys[static_cast<int>(plan.stop_by)], " after ",
      absl::FormatDuration(plan.stop_after));
}

std::string Problem(const Plan& plan, const Outcome& outcome,
                    absl::Duration tolerance) {
  std::string problem;
  switch (outcome.status.error_code()) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::NOT_FOUND:
      problem = ProblemWithAnswer(plan, outcome);
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      problem = ProblemWithDeadline(plan, outcome, tolerance);
      break;
    case grpc::StatusCode::CANCELLED:
      problem = ProblemWithCancellation(plan, outcome);
      break;
    case grpc::StatusCode::UNAVAILABLE:
      if (plan.route.IsCalm()) problem = "nobody disturbed its servers";
      break;
    default:
      problem = "no outcome of any plan";
  }
  if (problem.empty() && !plan.plain && !ReasonFits(plan, outcome)) {
    problem = "the reason doesn't fit";
  }
  if (problem.empty()) return "";
  return absl::StrCat(
      problem, ": ", outcome.status.error_code(), " \"",
      outcome.status.error_message(), "\", ", outcome.messages,
      " messages, after ", absl::FormatDuration(outcome.elapsed),
      plan.plain ? "" : ", ",
      std::string(plan.plain ? "" : EndReasonName(outcome.reason)), "; ",
      Describe(plan));
}

}  // namespace tether::soak
