// SPDX-License-Identifier: Apache-2.0

#include "services/hop_event.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace shop {
namespace {

class HopRecorderTest : public testing::Test {
 protected:
  // The event of a handler that has this context and returns `status`.
  v1::HopEvent Record(const tether::Context& ctx, grpc::Status status) {
    {
      HopRecorder hop(sink_, "orders", "GetOrder", ctx);
      hop.End(status);
      EXPECT_TRUE(events_.empty()) << "sent before the handler's end";
    }
    EXPECT_EQ(events_.size(), 1);
    v1::HopEvent event = events_.back();
    events_.clear();
    return event;
  }

  std::vector<v1::HopEvent> events_;
  const HopSink sink_ = [this](const v1::HopEvent& event) {
    events_.push_back(event);
  };
};

TEST_F(HopRecorderTest, TellsWhoServedWhat) {
  const tether::TraceContext trace = tether::NewTrace();
  const tether::Context ctx = tether::WithTrace(
      tether::WithRequestId(tether::Background(), "r-1"), trace);
  const v1::HopEvent event = Record(ctx, grpc::Status::OK);
  EXPECT_EQ(event.service(), "orders");
  EXPECT_EQ(event.method(), "GetOrder");
  EXPECT_EQ(event.trace_id(), trace.TraceIdHex());
  EXPECT_EQ(event.request_id(), "r-1");
  EXPECT_GT(event.started_ms(), 0);
  EXPECT_GE(event.elapsed_ms(), 0);
  EXPECT_EQ(event.outcome(), "ok");
}

TEST_F(HopRecorderTest, LeavesOutWhatDidNotReachIt) {
  const v1::HopEvent event = Record(tether::Background(), grpc::Status::OK);
  EXPECT_EQ(event.trace_id(), "");
  EXPECT_EQ(event.request_id(), "");
  EXPECT_FALSE(event.has_remaining_ms_on_arrival());
}

TEST_F(HopRecorderTest, TellsTheTimeLeft) {
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(), absl::Minutes(1));
  const v1::HopEvent event = Record(ctx, grpc::Status::OK);
  EXPECT_GT(event.remaining_ms_on_arrival(), 30'000);
  EXPECT_LE(event.remaining_ms_on_arrival(), 60'000);
}

TEST_F(HopRecorderTest, TheContextsReasonBeatsTheStatus) {
  auto [cancelled, cancel] = tether::WithCancel(tether::Background());
  cancel(absl::CancelledError("the client left"));
  EXPECT_EQ(Record(cancelled, grpc::Status::OK).outcome(), "cancelled");

  auto [late, stop] =
      tether::WithTimeout(tether::Background(), absl::ZeroDuration());
  EXPECT_EQ(Record(late, grpc::Status::CANCELLED).outcome(),
            "deadline_exceeded");
}

TEST_F(HopRecorderTest, WhileTheContextLivesTheStatusCounts) {
  using grpc::StatusCode;
  const auto outcome_of = [this](StatusCode code) {
    return Record(tether::Background(), grpc::Status(code, "")).outcome();
  };
  EXPECT_EQ(outcome_of(StatusCode::CANCELLED), "cancelled");
  EXPECT_EQ(outcome_of(StatusCode::DEADLINE_EXCEEDED), "deadline_exceeded");
  EXPECT_EQ(outcome_of(StatusCode::UNAVAILABLE), "error");
}

TEST_F(HopRecorderTest, AHandlerThatThrowsIsAnError) {
  { HopRecorder hop(sink_, "orders", "GetOrder", tether::Background()); }
  ASSERT_EQ(events_.size(), 1);
  EXPECT_EQ(events_[0].outcome(), "error");
}

TEST_F(HopRecorderTest, NeedsNoSink) {
  const HopSink none;
  HopRecorder hop(none, "orders", "GetOrder", tether::Background());
  EXPECT_TRUE(hop.End(grpc::Status::OK).ok());
}

}  // namespace
}  // namespace shop
