// SPDX-License-Identifier: Apache-2.0
//
// How a request ended, and CutWhenAllEnd: a call is cut when all requests for
// which it may be made have ended, and none by completion.

#include "sidecar/request_end.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/hop_id.h"
#include "sidecar/request.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether::sidecar {
namespace {

class RequestEndTest : public tether::testing::LeakCheckedTest {
 protected:
  Context Root() { return Background(clock_); }

  static std::shared_ptr<Request> Of(const Context& ctx) {
    return std::make_shared<Request>(HopId(), ctx);
  }

  static absl::Status Completed() {
    return WithEndReason(absl::CancelledError("the handler returned"),
                         EndReason::kCompleted);
  }

  // What a callback has been told.
  CutWhenAllEnd::Callback Remember() {
    return [this](RequestEnd end, const absl::Status& status) {
      cuts_.emplace_back(end, status);
    };
  }

  tether::testing::SimulatedClock clock_;
  std::vector<std::pair<RequestEnd, absl::Status>> cuts_;
};

TEST_F(RequestEndTest, EachReasonIsOneOfThreeEnds) {
  const struct {
    EndReason reason;
    RequestEnd end;
  } kCases[] = {
      {EndReason::kCompleted, RequestEnd::kCompleted},
      {EndReason::kOwnTimeout, RequestEnd::kDeadline},
      {EndReason::kInheritedDeadline, RequestEnd::kDeadline},
      {EndReason::kTooLittleTime, RequestEnd::kDeadline},
      {EndReason::kCallerLeft, RequestEnd::kCancelled},
      {EndReason::kConnectionLost, RequestEnd::kCancelled},
      {EndReason::kServerShutdown, RequestEnd::kCancelled},
      {EndReason::kSiblingFailed, RequestEnd::kCancelled},
      {EndReason::kCancelled, RequestEnd::kCancelled},
      {static_cast<EndReason>(200), RequestEnd::kCancelled},
  };
  for (const auto& test : kCases) {
    auto [ctx, cancel] = WithCancel(Root());
    EXPECT_EQ(RequestEndOf(ctx), std::nullopt);
    EXPECT_TRUE(EndStatusOf(ctx).ok());
    cancel(WithEndReason(absl::UnavailableError("why"), test.reason));
    EXPECT_EQ(RequestEndOf(ctx), test.end) << EndReasonName(test.reason);
    const absl::Status status = EndStatusOf(ctx);
    switch (test.end) {
      case RequestEnd::kCompleted:
        EXPECT_TRUE(status.ok());
        break;
      case RequestEnd::kCancelled:
        EXPECT_EQ(status, absl::CancelledError("context canceled: why"));
        break;
      case RequestEnd::kDeadline:
        EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
        break;
    }
  }
}

TEST_F(RequestEndTest, WithoutAReasonTheCodeDecides) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(RequestEndOf(ctx), RequestEnd::kDeadline);
  EXPECT_EQ(EndStatusOf(ctx),
            absl::DeadlineExceededError("context deadline exceeded"));
  auto [other, cancel_other] = WithCancel(Root());
  cancel_other();
  EXPECT_EQ(RequestEndOf(other), RequestEnd::kCancelled);
  EXPECT_EQ(EndStatusOf(other), absl::CancelledError("context canceled"));
  // A reason that isn't a deadline's doesn't hide that one passed.
  auto [third, cancel_third] = WithTimeout(
      Root(), absl::ZeroDuration(),
      WithEndReason(absl::UnavailableError("x"), EndReason::kConnectionLost));
  EXPECT_EQ(RequestEndOf(third), RequestEnd::kDeadline);
}

TEST_F(RequestEndTest, TheLatestDeadlineCounts) {
  EXPECT_EQ(LatestDeadline({}), absl::InfiniteFuture());
  EXPECT_EQ(RemainingOfLatest({}), absl::InfiniteDuration());
  auto [soon, cancel_soon] = WithTimeout(Root(), absl::Seconds(1));
  auto [later, cancel_later] = WithTimeout(Root(), absl::Seconds(3));
  const absl::Time start = clock_.Now();
  for (const Requests& requests :
       {Requests{Of(soon), Of(later)}, Requests{Of(later), Of(soon)}}) {
    EXPECT_EQ(LatestDeadline(requests), start + absl::Seconds(3));
    EXPECT_EQ(RemainingOfLatest(requests), absl::Seconds(3));
  }
  EXPECT_EQ(RemainingOfLatest({Of(soon)}), absl::Seconds(1));
  EXPECT_EQ(LatestDeadline({Of(soon), Of(Root())}), absl::InfiniteFuture());
  EXPECT_EQ(RemainingOfLatest({Of(soon), Of(Root())}),
            absl::InfiniteDuration());
  // On the steady clock.
  clock_.JumpWallClock(absl::Hours(1));
  EXPECT_EQ(RemainingOfLatest({Of(soon), Of(later)}), absl::Seconds(3));
  clock_.Advance(absl::Seconds(4));
  EXPECT_EQ(RemainingOfLatest({Of(soon), Of(later)}), -absl::Seconds(1));
}

TEST_F(RequestEndTest, OneRequestThatIsCancelledCuts) {
  auto [ctx, cancel] = WithCancel(Root());
  const CutWhenAllEnd cut({Of(ctx)}, Remember());
  EXPECT_TRUE(cuts_.empty());
  cancel(absl::UnavailableError("gone"));
  ASSERT_EQ(cuts_.size(), 1u);
  EXPECT_EQ(cuts_[0].first, RequestEnd::kCancelled);
  EXPECT_EQ(cuts_[0].second, absl::CancelledError("context canceled: gone"));
}

TEST_F(RequestEndTest, OneRequestThatIsCompletedDoesNotCut) {
  auto [ctx, cancel] = WithCancel(Root());
  const CutWhenAllEnd cut({Of(ctx)}, Remember());
  cancel(Completed());
  EXPECT_TRUE(cuts_.empty());
}

TEST_F(RequestEndTest, AnEndBeforeTheConstructorCounts) {
  auto [ctx, cancel] = WithTimeout(Root(), absl::Seconds(1));
  const Requests requests = {Of(ctx)};
  clock_.Advance(absl::Seconds(1));
  const CutWhenAllEnd cut(requests, Remember());
  ASSERT_EQ(cuts_.size(), 1u);
  EXPECT_EQ(cuts_[0].first, RequestEnd::kDeadline);

  auto [done, cancel_done] = WithCancel(Root());
  cancel_done(Completed());
  const CutWhenAllEnd no_cut({Of(done)}, Remember());
  EXPECT_EQ(cuts_.size(), 1u);
}

TEST_F(RequestEndTest, TheLastOfSeveralCutsWithItsStatus) {
  auto [one, cancel_one] = WithCancel(Root());
  auto [other, cancel_other] = WithTimeout(Root(), absl::Seconds(1));
  auto [third, cancel_third] = WithCancel(Root());
  const CutWhenAllEnd cut({Of(one), Of(other), Of(third)}, Remember());
  cancel_third(absl::CancelledError("third"));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(cuts_.empty()) << "one is alive";
  cancel_one(absl::CancelledError("one"));
  ASSERT_EQ(cuts_.size(), 1u);
  EXPECT_EQ(cuts_[0].second, absl::CancelledError("context canceled: one"));
}

TEST_F(RequestEndTest, OneOfSeveralThatIsCompletedSparesTheCall) {
  for (int completed = 0; completed < 3; ++completed) {
    std::vector<Cancellable> scopes;
    Requests requests;
    for (int i = 0; i < 3; ++i) {
      scopes.emplace_back(WithCancel(Root()));
      requests.push_back(Of(scopes.back().ctx));
    }
    const CutWhenAllEnd cut(requests, Remember());
    for (int i = 0; i < 3; ++i) {
      scopes[static_cast<size_t>(i)].cancel(
          i == completed ? Completed() : absl::CancelledError("left"));
    }
    EXPECT_TRUE(cuts_.empty()) << completed;
  }
}

TEST_F(RequestEndTest, NothingRunsForNoRequests) {
  { const CutWhenAllEnd cut({}, Remember()); }
  EXPECT_TRUE(cuts_.empty());
}

TEST_F(RequestEndTest, NothingRunsOnceItIsDestroyed) {
  auto [one, cancel_one] = WithCancel(Root());
  auto [other, cancel_other] = WithCancel(Root());
  {
    const CutWhenAllEnd cut({Of(one), Of(other)}, Remember());
    EXPECT_EQ(LiveCallbacks(), 2);
    cancel_one();
  }
  EXPECT_EQ(LiveCallbacks(), 0);
  cancel_other();
  EXPECT_TRUE(cuts_.empty());
}

}  // namespace
}  // namespace tether::sidecar
