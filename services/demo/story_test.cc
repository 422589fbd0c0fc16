// SPDX-License-Identifier: Apache-2.0

#include "services/demo/story.h"

#include <limits>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shop {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using tether::TimeSpan;

class StoryTest : public testing::Test {
 protected:
  StoryTest() {
    story_.order_id = "1042";
    story_.deadline = absl::Milliseconds(200);
    story_.inventory_timeout = absl::Milliseconds(50);
    story_.started_ms = 5000;
    story_.availability = "42 in stock";
    story_.result.set_elapsed_ms(100);
    AddHop("storefront", 5001, 98, "ok");
    AddHop("orders", 5050, 40, "ok");
    AddHop("inventory", 5075, 10, "deadline_exceeded");
  }

  void AddHop(const char* service, double started_ms, double elapsed_ms,
              const char* outcome) {
    v1::HopEvent& hop = *story_.result.add_hops();
    hop.set_service(service);
    hop.set_method("Get");
    hop.set_started_ms(started_ms);
    hop.set_elapsed_ms(elapsed_ms);
    hop.set_remaining_ms_on_arrival(200 - (started_ms - 5000));
    hop.set_outcome(outcome);
  }

  void EndAllHops(const char* outcome) {
    for (v1::HopEvent& hop : *story_.result.mutable_hops()) {
      hop.set_outcome(outcome);
    }
  }

  DemoStory story_;
};

TEST_F(StoryTest, TheHopsAreWhereTheyWere) {
  const tether::Timeline timeline = TimelineOfHops(story_);
  EXPECT_EQ(timeline.end_us, 100'000);
  EXPECT_EQ(timeline.deadline_us, 200'000);
  ASSERT_EQ(timeline.rows.size(), 3);

  EXPECT_EQ(timeline.rows[0].name, "storefront.Get");
  EXPECT_EQ(timeline.rows[0].depth, 0);
  EXPECT_EQ(timeline.rows[0].call, (TimeSpan{0, 100'000})) << "the client's";
  EXPECT_EQ(timeline.rows[0].hop, (TimeSpan{1'000, 99'000}));
  EXPECT_THAT(timeline.rows[0].waits, ElementsAre(TimeSpan{50'000, 90'000}));
  EXPECT_EQ(timeline.rows[0].own_us, 58'000);
  EXPECT_EQ(timeline.rows[0].time_left_us, 199'000);
  EXPECT_EQ(timeline.rows[0].outcome, "ok");

  EXPECT_EQ(timeline.rows[2].depth, 2);
  EXPECT_EQ(timeline.rows[2].call, (TimeSpan{75'000, 85'000}));
  EXPECT_THAT(timeline.rows[2].waits, IsEmpty());
  EXPECT_EQ(timeline.rows[2].own_us, 10'000);
  EXPECT_EQ(timeline.rows[2].outcome, "deadline exceeded");
}

TEST_F(StoryTest, HopsThatRanOnAreShownToTheirEnd) {
  story_.result.mutable_hops(2)->set_elapsed_ms(60);
  story_.result.mutable_hops(0)->set_elapsed_ms(120);
  const tether::Timeline timeline = TimelineOfHops(story_);
  EXPECT_EQ(timeline.end_us, 135'000);
  EXPECT_EQ(timeline.rows[0].call, (TimeSpan{0, 121'000}));
  // The hop waited until it ended by itself.
  EXPECT_THAT(timeline.rows[1].waits, ElementsAre(TimeSpan{75'000, 90'000}));
}

TEST_F(StoryTest, WithoutHopsThereAreNoRows) {
  story_.result.clear_hops();
  EXPECT_THAT(TimelineOfHops(story_).rows, IsEmpty());
  story_.result.set_elapsed_ms(0);
  EXPECT_EQ(TimelineOfHops(story_).end_us, 1);
}

TEST_F(StoryTest, SurvivesOddTimes) {
  story_.deadline = absl::InfiniteDuration();
  AddHop("early", 4999, -3, "ok");
  AddHop("late", 9e300, 1e300, "ok");
  AddHop("odd", std::numeric_limits<double>::quiet_NaN(),
         std::numeric_limits<double>::infinity(), "ok");
  for (const tether::TimelineRow& row : TimelineOfHops(story_).rows) {
    EXPECT_LE(0, row.call.begin_us);
    EXPECT_LE(row.call.begin_us, row.call.end_us);
    EXPECT_LE(row.call.end_us, tether::kMaxReportTimeUs);
    EXPECT_LE(0, row.own_us);
  }
}

TEST_F(StoryTest, SaysWhatHappened) {
  EXPECT_EQ(Sentence(story_), "Every hop answered in time: 42 in stock.");
  story_.result.set_fallback(true);
  EXPECT_EQ(Sentence(story_),
            "inventory did not answer within 50ms; orders answered with "
            "default stock.");
}

TEST_F(StoryTest, SaysWhoseTimeRanOut) {
  story_.result.set_status_code(4);
  story_.result.set_elapsed_ms(200.3);
  EndAllHops("deadline_exceeded");
  EXPECT_EQ(
      Sentence(story_),
      "The 200ms until the deadline were used up, and every hop stopped.");
  story_.result.set_elapsed_ms(53);
  EXPECT_EQ(Sentence(story_),
            "inventory did not answer within 50ms; without a fallback, "
            "orders returned the error.");
}

TEST_F(StoryTest, BlamesOnlyWhereTheTimeRanOut) {
  story_.result.set_status_message("deadline exceeded: 200ms, of which …");
  EXPECT_EQ(Blame(story_), "");
  story_.result.set_status_code(4);
  EXPECT_EQ(Blame(story_), "deadline exceeded: 200ms, of which …");
}

TEST_F(StoryTest, SaysThatTheClientLeft) {
  story_.cancel_after = absl::Milliseconds(100);
  story_.result.set_status_code(1);
  EndAllHops("cancelled");
  EXPECT_EQ(Sentence(story_),
            "The client left after 100ms, and every hop stopped.");
  story_.track = true;
  story_.result.set_positions(3);
  EXPECT_EQ(Sentence(story_),
            "The client left after 100ms with 3 positions, and every hop "
            "stopped.");
}

TEST_F(StoryTest, DoesNotClaimWhatNoHopTold) {
  story_.result.set_status_code(4);
  story_.result.set_elapsed_ms(201);
  EXPECT_THAT(Sentence(story_), HasSubstr("the hops ended as shown"));
  story_.result.mutable_hops()->RemoveLast();
  EXPECT_THAT(Sentence(story_), HasSubstr("only 2 of 3 hops reported"));
  story_.result.clear_hops();
  EXPECT_THAT(Sentence(story_), HasSubstr("before the request had reached"));
}

}  // namespace
}  // namespace shop
