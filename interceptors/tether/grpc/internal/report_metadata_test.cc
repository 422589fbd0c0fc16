// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/report_metadata.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tether/budget/report.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/stats.h"

namespace tether::internal {
namespace {

const std::string kKey(kReportHeader);

v1::BudgetReport Small() {
  v1::BudgetReport report;
  report.set_service("shop.v1.Orders");
  report.set_method("GetOrder");
  report.set_total_us(1000);
  return report;
}

// Close to the limit of 4 KiB for a report.
v1::BudgetReport Large() {
  v1::BudgetReport report = Small();
  report.set_total_us(1'000'000);
  for (int i = 0; i < 16; ++i) {
    v1::CallReport& call = *report.add_calls();
    call.set_service(std::string(120, 's'));
    call.set_method(std::string(100, 'm'));
    call.set_duration_us(1000);
    call.set_answered(true);
  }
  return report;
}

size_t Bytes(SentMetadata::Map& metadata) {
  return SentMetadata(metadata).RemoveAndMeasure({});
}

std::optional<v1::BudgetReport> Receive(const SentMetadata::Map& sent,
                                        const ReportLimits& limits = {}) {
  ReceivedMetadata::Map received;
  for (const auto& [key, value] : sent) received.emplace(key, value);
  return ReceiveReport(received, limits);
}

TEST(SendReportTest, WhatIsSentIsReceived) {
  SentMetadata::Map metadata;
  SendReport(Small(), ReportLimits(), grpc::Status::OK, metadata);
  ASSERT_EQ(metadata.count(kKey), 1u);
  const auto report = Receive(metadata);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->SerializeAsString(), Small().SerializeAsString());
}

TEST(SendReportTest, TheApplicationsOwnIsLeftAlone) {
  SentMetadata::Map metadata = {{kKey, "mine"}};
  SendReport(Small(), ReportLimits(), grpc::Status::OK, metadata);
  ASSERT_EQ(metadata.size(), 1u);
  EXPECT_EQ(metadata.begin()->second, "mine");
}

// Report and metadata together never exceed what a peer accepts.
TEST(SendReportTest, TheApplicationsMetadataGoesFirst) {
  for (size_t size = 0; size < 9000; size += 100) {
    SentMetadata::Map metadata = {{"x-large", std::string(size, 'x')}};
    const size_t before = Bytes(metadata);
    SendReport(Large(), ReportLimits(), grpc::Status::OK, metadata);
    if (before < 7168) {
      EXPECT_LE(Bytes(metadata), 7168u) << size;
    } else {
      EXPECT_EQ(Bytes(metadata), before) << size;
    }
    if (size == 0) {
      EXPECT_GT(Bytes(metadata), 4000u);
    }
    if (size == 5000) {
      EXPECT_EQ(metadata.count(kKey), 1u) << "a part of it";
    }
  }
}

TEST(SendReportTest, SoDoesTheStatus) {
  for (const char c : {'x', '\n'}) {
    for (const bool details : {false, true}) {
      for (size_t size = 0; size < 9000; size += 100) {
        const std::string text(size, c);
        const grpc::Status status(grpc::StatusCode::NOT_FOUND,
                                  details ? "" : text, details ? text : "");
        SentMetadata::Map metadata;
        SendReport(Large(), ReportLimits(), status, metadata);
        const size_t on_wire = details     ? size / 3 * 4
                               : c == '\n' ? 3 * size
                                           : size;
        if (metadata.empty()) {
          EXPECT_GT(on_wire, 6500u) << "there was room";
        } else {
          EXPECT_LE(Bytes(metadata) + on_wire, 7168u);
        }
      }
    }
  }
}

// The encoded size counts, because a proxy's buffer is one page.
TEST(SendReportTest, AnErrorStaysWithinItsHeaders) {
  for (size_t max = 0; max < 9000; max += 500) {
    for (size_t size = 0; size < 4000; size += 100) {
      const grpc::Status status(grpc::StatusCode::NOT_FOUND,
                                std::string(size / 2, 'x'));
      SentMetadata::Map metadata = {{"x-own", std::string(size / 2, 'x')}};
      SendReport(Large(), ReportLimits(), status, metadata, RoomInHeaders(max));
      const size_t without = 200 + size + 100;
      if (metadata.size() == 2) {
        EXPECT_LE(Bytes(metadata) + size / 2, max);
      } else if (max > without) {
        EXPECT_LT(max - without, 200u) << "there was room";
      }
    }
  }
  SentMetadata::Map metadata;
  SendReport(Large(), ReportLimits(),
             grpc::Status(grpc::StatusCode::INTERNAL, ""), metadata,
             RoomInHeaders(4000));
  EXPECT_GT(Bytes(metadata), 3500u);
  EXPECT_EQ(RoomInHeaders(100'000), kMetadataRoom);
}

TEST(SendReportTest, NothingFitsWithoutAnyBytes) {
  ReportLimits limits;
  limits.max_bytes = 0;
  SentMetadata::Map metadata;
  SendReport(Small(), limits, grpc::Status::OK, metadata);
  EXPECT_TRUE(metadata.empty());
}

TEST(ReceiveReportTest, NoneIsNoMistake) {
  const int64_t dropped = GetGrpcStats().bad_reports;
  EXPECT_FALSE(Receive({}).has_value());
  EXPECT_FALSE(Receive({{"x-other", "1"}}).has_value());
  EXPECT_EQ(GetGrpcStats().bad_reports, dropped);
}

TEST(ReceiveReportTest, EqualCopiesCountAsOne) {
  const std::string good = EncodeReport(Small());
  const int64_t dropped = GetGrpcStats().bad_reports;
  EXPECT_TRUE(Receive({{kKey, good}, {kKey, good}}).has_value());
  EXPECT_EQ(GetGrpcStats().bad_reports, dropped);
}

TEST(ReceiveReportTest, BadOnesAreDroppedAndCounted) {
  const std::string good = EncodeReport(Small());
  v1::BudgetReport larger = Small();
  larger.set_total_us(larger.total_us() + 1);
  const std::string other = EncodeReport(larger);
  ReportLimits limits;
  for (const SentMetadata::Map& metadata :
       {SentMetadata::Map{{kKey, ""}}, SentMetadata::Map{{kKey, "\xff\xff"}},
        SentMetadata::Map{{kKey, std::string(10'000'000, '\x0a')}},
        SentMetadata::Map{{kKey, good}, {kKey, other}},
        SentMetadata::Map{{kKey, good}, {kKey, good}, {kKey, other}},
        SentMetadata::Map{{kKey, good.substr(0, good.size() - 1)}}}) {
    const int64_t dropped = GetGrpcStats().bad_reports;
    EXPECT_FALSE(Receive(metadata, limits).has_value());
    EXPECT_EQ(GetGrpcStats().bad_reports, dropped + 1);
  }
}

// A limit of 0 means that no reports are wanted.
TEST(ReceiveReportTest, WithoutAnyBytesNothingIsLookedAt) {
  ReportLimits limits;
  limits.max_bytes = 0;
  const int64_t dropped = GetGrpcStats().bad_reports;
  EXPECT_FALSE(Receive({{kKey, EncodeReport(Small())}}, limits).has_value());
  EXPECT_EQ(GetGrpcStats().bad_reports, dropped);
}

}  // namespace
}  // namespace tether::internal
