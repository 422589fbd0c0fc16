// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/snapshot.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/time/time.h"

namespace tether {
namespace {

TEST(CleanTextTest, PrintableAsciiStays) {
  EXPECT_EQ(CleanText("/shop.v1.Orders/GetOrder <&\"'> ~"),
            "/shop.v1.Orders/GetOrder <&\"'> ~");
  EXPECT_EQ(CleanText(""), "");
}

TEST(CleanTextTest, AllOtherBytesAreReplaced) {
  EXPECT_EQ(CleanText("a\x1b[2J\n\r\t\x7f"), "a?[2J????");
  EXPECT_EQ(CleanText("\xc3\xa9\xff"), "???");
  EXPECT_EQ(CleanText(std::string("a\0b", 3)), "a?b");
}

TEST(CleanTextTest, WhatIsTooLongIsCut) {
  EXPECT_EQ(CleanText("abcdef", 6), "abcdef");
  EXPECT_EQ(CleanText("abcdefg", 6), "abc...");
  EXPECT_EQ(CleanText("abcdefg", 2), "..");
  EXPECT_EQ(CleanText(std::string(10'000, 'x')).size(), 256u);
}

TEST(SnapshotTest, HasEverythingOfARequestAndItsCalls) {
  InFlight in_flight;
  in_flight.requests_in_flight = 7;
  in_flight.calls_in_flight = 9;
  InFlightRequest request;
  request.method = "/a.B/C\n";
  request.peer = "ipv4:127.0.0.1:1";
  request.trace_id = "0af7651916cd43dd8448eb211c80319c";
  request.request_id = "\xff";
  request.style = ApiStyle::kCallback;
  request.age = absl::Milliseconds(5);
  request.time_left = -absl::Microseconds(3);
  request.deadline_owner = DeadlineOwner::kMaxTimeout;
  request.ended_by = EndReason::kOwnTimeout;
  request.ended_ago = absl::Microseconds(3);
  request.observed = true;
  InFlightCall call;
  call.method = "/d.E/F";
  call.target = "dns:///e:443";
  call.label = "shard 7";
  call.trace_id = request.trace_id;
  call.age = absl::Milliseconds(4);
  call.time_left = absl::InfiniteDuration();
  call.ended_by = EndReason::kCancelled;
  request.waits_for.push_back(call);
  in_flight.requests.push_back(request);
  in_flight.other_calls.push_back(call);

  const v1::Snapshot snapshot = ToSnapshot(in_flight);
  EXPECT_EQ(snapshot.process(), "snapshot_test");
  EXPECT_EQ(snapshot.pid(), getpid());
  EXPECT_EQ(snapshot.requests_in_flight(), 7);
  EXPECT_EQ(snapshot.calls_in_flight(), 9);
  ASSERT_EQ(snapshot.requests_size(), 1);
  const v1::InFlightRequest& message = snapshot.requests(0);
  EXPECT_EQ(message.method(), "/a.B/C?");
  EXPECT_EQ(message.peer(), "ipv4:127.0.0.1:1");
  EXPECT_EQ(message.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(message.request_id(), "?");
  EXPECT_EQ(message.style(), v1::API_STYLE_CALLBACK);
  EXPECT_EQ(message.age_us(), 5000);
  EXPECT_EQ(message.time_left_us(), -3);
  EXPECT_EQ(message.deadline_owner(), v1::DEADLINE_OWNER_MAX_TIMEOUT);
  EXPECT_EQ(message.ended_by(), v1::END_REASON_OWN_TIMEOUT);
  EXPECT_EQ(message.ended_ago_us(), 3);
  EXPECT_TRUE(message.observed());
  ASSERT_EQ(message.waits_for_size(), 1);
  EXPECT_EQ(message.waits_for(0).method(), "/d.E/F");
  EXPECT_EQ(message.waits_for(0).target(), "dns:///e:443");
  EXPECT_EQ(message.waits_for(0).label(), "shard 7");
  EXPECT_EQ(message.waits_for(0).trace_id(), message.trace_id());
  EXPECT_EQ(message.waits_for(0).age_us(), 4000);
  EXPECT_FALSE(message.waits_for(0).has_time_left_us());
  EXPECT_EQ(message.waits_for(0).ended_by(), v1::END_REASON_CANCELLED);
  ASSERT_EQ(snapshot.other_calls_size(), 1);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
      snapshot.other_calls(0), message.waits_for(0)));
}

TEST(SnapshotTest, WhatIsUnknownIsAbsent) {
  InFlight in_flight;
  in_flight.requests.emplace_back();
  in_flight.requests[0].time_left = absl::InfiniteDuration();
  const v1::InFlightRequest message = ToSnapshot(in_flight).requests(0);
  EXPECT_FALSE(message.has_time_left_us());
  EXPECT_FALSE(message.has_ended_ago_us());
  EXPECT_EQ(message.ended_by(), v1::END_REASON_UNSPECIFIED);
}

TEST(SnapshotTest, FitsIntoAMessageOfGrpc) {
  InFlight in_flight;
  InFlightCall call;
  call.method = std::string(120, 'm');
  call.target = std::string(120, 't');
  InFlightRequest request;
  request.method = call.method;
  request.waits_for.assign(5000, call);
  in_flight.requests.assign(500, request);
  in_flight.other_calls.assign(10'000, call);
  const v1::Snapshot snapshot = ToSnapshot(in_flight);
  EXPECT_LT(snapshot.ByteSizeLong(), size_t{4} << 20);
  EXPECT_GT(snapshot.requests_size(), 50);
  EXPECT_EQ(snapshot.requests(0).waits_for_size(), 100);
  EXPECT_EQ(snapshot.requests(0).waits_for_total(), 5000);
}

TEST(SnapshotTest, OptionsThatAreOutOfRangeAreClamped) {
  for (const int max : {-1, 0, 1, 1'000'000}) {
    v1::ListRequest request;
    request.set_max_entries(max);
    EXPECT_EQ(TakeSnapshot(request).requests_size(), 0);
  }
}

}  // namespace
}  // namespace tether
