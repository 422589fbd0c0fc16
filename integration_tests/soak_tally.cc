// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/soak_tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "integration_tests/soak_clock.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/give_up.h"

namespace tether::soak {
namespace {

// The rounding of deadlines on the wire.
constexpr absl::Duration kRounding = absl::Milliseconds(1);

// A call that waits for the server only: a link is stalled for at most a third
// of a second, a server is away for less.
constexpr absl::Duration kUnlimited = testing::kGiveUp;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// The contents of a request id.
struct Told {
  int64_t earliest = kNever;  // the caller's deadline is between these
  int64_t latest = kNever;
  int64_t timeout = kNever;
};

int64_t Nanos(absl::Duration duration) {
  return duration == absl::InfiniteDuration()
             ? kNever
             : absl::ToInt64Nanoseconds(duration);
}

bool Parse(const Context& ctx, Told* told) {
  const std::string* const id = RequestIdOf(ctx);
  if (id == nullptr) return false;
  const std::vector<std::string> parts = absl::StrSplit(*id, '.');
  return parts.size() == 3 && absl::SimpleAtoi(parts[0], &told->earliest) &&
         absl::SimpleAtoi(parts[1], &told->latest) &&
         absl::SimpleAtoi(parts[2], &told->timeout);
}

// The earliest moment at which a handler's deadline may pass.
absl::Duration EarliestEnd(const Told& told, absl::Duration tolerance) {
  return absl::Nanoseconds(told.earliest) -
         ReserveOfHops(absl::Nanoseconds(told.timeout)) - tolerance;
}

// The deadline of `ctx` is the caller's: not changed by the wall clock, and
// earlier by the hops' reserves at most. It may be later by the time that the
// request was on its way, so it never exceeds the whole timeout.
void CheckDeadline(const Context& ctx, absl::Duration tolerance) {
  Told told;
  if (!Parse(ctx, &told)) {
    ADD_FAILURE() << "the request id is lost: " << ctx.DebugString() << ", "
                  << ctx.Err() << ", " << ctx.Cause();
    return;
  }
  const absl::Duration left = ctx.Remaining();
  const absl::Duration now = SteadyNow();
  if (told.timeout == kNever) {
    EXPECT_EQ(left, absl::InfiniteDuration());
    return;
  }
  const absl::Duration timeout = absl::Nanoseconds(told.timeout);
  EXPECT_LE(left, timeout + kRounding);
  EXPECT_GE(now + left, EarliestEnd(told, tolerance))
      << "of " << timeout << " since "
      << now - (absl::Nanoseconds(told.earliest) - timeout);
}

}  // namespace

Cancellable WithTold(const Context& parent, absl::Duration timeout) {
  Told told;
  told.timeout = Nanos(timeout);
  const absl::Duration before = SteadyNow();
  Cancellable made = WithTimeout(parent, timeout);
  if (told.timeout != kNever) {
    told.earliest = Nanos(before + timeout);
    told.latest = Nanos(SteadyNow() + timeout);
  }
  made.ctx = WithRequestId(
      made.ctx,
      absl::StrCat(told.earliest, ".", told.latest, ".", told.timeout));
  return made;
}

void Longest::Add(absl::Duration duration) {
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  int64_t longest = nanos_;
  while (nanos > longest && !nanos_.compare_exchange_weak(longest, nanos)) {
  }
}

// ---- HandlerTally -----------------------------------------------------------

void HandlerTally::Begin(const Context& ctx) {
  ++begun_;
  CheckDeadline(ctx, watchdog_.Tolerance());
}

void HandlerTally::Wait(const Context& ctx) {
  CheckDeadline(ctx, watchdog_.Tolerance());
}

void HandlerTally::End(const Context& ctx) {
  EXPECT_TRUE(ctx.Done());
  const EndReason reason = EndReasonOf(ctx);
  ++ends_[static_cast<size_t>(reason)];
  const absl::Duration left = ctx.Remaining();
  if (absl::IsDeadlineExceeded(ctx.Err())) {
    EXPECT_EQ(reason, EndReason::kInheritedDeadline);
    // The request may have been on its way for a while. Then the caller is the
    // first to notice.
    Told told;
    EXPECT_TRUE(Parse(ctx, &told));
    EXPECT_GE(SteadyNow(), EarliestEnd(told, watchdog_.Tolerance()));
  } else {
    EXPECT_TRUE(reason == EndReason::kCallerLeft ||
                reason == EndReason::kServerShutdown)
        << EndReasonName(reason);
  }
  late_.Add(-left);
}

// ---- CallTally --------------------------------------------------------------

void CallTally::Finish(const Plan& plan, const Outcome& outcome,
                       const Watchdog& watchdog) {
  ++codes_[outcome.status.error_code()];
  ++cells_[static_cast<int>(plan.client)][static_cast<int>(plan.kind)];
  if (plan.route.IsCalm()) ++calm_;
  EXPECT_EQ(Problem(plan, outcome, watchdog.Tolerance()), "");
  if (plan.Limit() == absl::InfiniteDuration()) return;
  const absl::Duration late = outcome.elapsed - plan.Limit();
  late_.Add(late);
  EXPECT_LT(late, watchdog.Slack()) << Describe(plan);
}

int64_t CallTally::ended() const {
  int64_t sum = 0;
  for (const auto& count : codes_) sum += count;
  return sum;
}

void CallTally::Print(std::ostream& out) const {
  out << started_ << " RPCs:";
  for (int code = 0; code < 17; ++code) {
    if (codes_[code] == 0) continue;
    out << " " << absl::StatusCodeToString(static_cast<absl::StatusCode>(code))
        << " " << codes_[code];
  }
  out << "; " << calm_ << " without any disturbance\n";
  for (matrix::ClientStyle style : matrix::kClientStyles) {
    out << "  " << matrix::Name(style) << ":";
    for (matrix::Kind kind : matrix::kKinds) {
      out << " " << matrix::Name(kind) << " " << of(style, kind);
    }
    out << "\n";
  }
}

// ---- Watchdog ---------------------------------------------------------------

Watchdog::Watchdog() {
  thread_ = std::thread([this] {
    constexpr auto kStep = std::chrono::milliseconds(5);
    while (!over_) {
      const absl::Duration before = SteadyNow();
      std::this_thread::sleep_for(kStep);
      late_.Add(SteadyNow() - before - absl::FromChrono(kStep));
      Check();
    }
  });
}

Watchdog::~Watchdog() {
  over_ = true;
  thread_.join();
}

absl::Duration Watchdog::Slack() const {
  // On an idle machine a call is a few milliseconds late at most. On a busy one
  // its end passes through a number of threads, each of which may be late.
  return absl::Seconds(1) + 10 * late_.get();
}

absl::Duration Watchdog::Tolerance() const {
  // gRPC adds the time that a request brings to the time at which its thread
  // began to work. If that thread had to wait then, the sum is too early.
  return absl::Milliseconds(50) + 10 * late_.get();
}

void Watchdog::Check() {
  absl::MutexLock lock(&mutex_);
  const absl::Duration now = SteadyNow();
  if (std::none_of(
          calls_.begin(), calls_.end(),
          [now](const Running::Call& call) { return now > call.hangs_at; })) {
    return;
  }
  std::cerr << "A call hangs. All calls, and for how long they have run:\n";
  for (const Running::Call& call : calls_) {
    std::cerr << now - call.start << " " << Describe(*call.plan) << "\n";
  }
  std::abort();
}

Watchdog::Running::Running(Watchdog& watchdog, const Plan& plan)
    : watchdog_(watchdog) {
  const absl::Duration limit = std::min(plan.Limit(), kUnlimited);
  const absl::Duration now = SteadyNow();
  absl::MutexLock lock(&watchdog_.mutex_);
  watchdog_.calls_.push_front({&plan, now, now + limit + 2 * testing::kGiveUp});
  call_ = watchdog_.calls_.begin();
}

Watchdog::Running::~Running() {
  absl::MutexLock lock(&watchdog_.mutex_);
  watchdog_.calls_.erase(call_);
}

}  // namespace tether::soak
