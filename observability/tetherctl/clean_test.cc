// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/clean.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tether/v1/inspector.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

constexpr char kHostile[] =
    "\x1b[2J\r\nGet\xc2\x9b"
    "31m\x7f";
constexpr char kClean[] = "?[2J??Get??31m?";

TEST(CleanTest, TextsAtAnyDepthLoseWhatATerminalObeys) {
  ProcessSnapshot process;
  v1::Snapshot& snapshot = *process.mutable_snapshot();
  snapshot.set_process(kHostile);
  v1::InFlightRequest& request = *snapshot.add_requests();
  request.set_method(kHostile);
  request.add_waits_for()->set_target(kHostile);
  CleanMessage(process);
  EXPECT_EQ(snapshot.process(), kClean);
  EXPECT_EQ(request.method(), kClean);
  EXPECT_EQ(request.waits_for(0).target(), kClean);

  v1::PropagationHealth health;
  health.add_findings()->add_trace_ids(kHostile);
  CleanMessage(health);
  EXPECT_EQ(health.findings(0).trace_ids(0), kClean);
}

TEST(CleanTest, LongTextsAreCut) {
  v1::Snapshot snapshot;
  snapshot.set_process(std::string(5000, 'x'));
  CleanMessage(snapshot);
  EXPECT_EQ(snapshot.process(), std::string(997, 'x') + "...");
}

TEST(CleanTest, NumbersCanBeAddedAndSubtracted) {
  v1::Snapshot snapshot;
  v1::InFlightRequest& request = *snapshot.add_requests();
  request.set_age_us(std::numeric_limits<int64_t>::max());
  request.set_time_left_us(std::numeric_limits<int64_t>::min());
  CleanMessage(snapshot);
  EXPECT_EQ(request.age_us(), kMaxNumber);
  EXPECT_EQ(request.time_left_us(), -kMaxNumber);
}

TEST(CleanTest, WhatIsCleanStays) {
  v1::Snapshot snapshot;
  v1::InFlightRequest& request = *snapshot.add_requests();
  request.set_method("/shop.v1.Orders/GetOrder");
  request.set_age_us(1'200'000);
  request.set_observed(true);
  request.set_ended_by(v1::END_REASON_CALLER_LEFT);
  // Absent: no deadline. It stays absent.
  const std::string before = snapshot.SerializeAsString();
  CleanMessage(snapshot);
  EXPECT_EQ(snapshot.SerializeAsString(), before);
}

TEST(CleanTest, UnknownFieldsAreRemoved) {
  v1::Snapshot snapshot;
  snapshot.GetReflection()->MutableUnknownFields(&snapshot)->AddLengthDelimited(
      99, kHostile);
  CleanMessage(snapshot);
  EXPECT_EQ(snapshot.SerializeAsString(), "");
}

}  // namespace
}  // namespace tether::ctl
