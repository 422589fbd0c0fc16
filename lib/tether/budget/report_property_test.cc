// SPDX-License-Identifier: Apache-2.0
//
// Properties of EncodeReport and ParseReport that hold for random reports.

#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "tether/budget/report.h"
#include "tether/budget/testing/reports.h"

namespace tether {
namespace {

using testing::DepthOf;
using testing::RandomReport;
using testing::WidthOf;

constexpr ReportLimits kNoLimits = {1 << 30, 100, 1 << 20, 1 << 20};

// Returns `report` as a reader gets it. Fails if the reader rejects it.
v1::BudgetReport Sent(const v1::BudgetReport& report,
                      const ReportLimits& limits = {}) {
  const std::string bytes = EncodeReport(report, limits);
  EXPECT_LE(bytes.size(), limits.max_bytes);
  const std::optional<v1::BudgetReport> read = ParseReport(bytes, limits);
  if (!read) {
    ADD_FAILURE() << "rejected: " << report.ShortDebugString();
    return {};
  }
  return *read;
}

TEST(ReportPropertyTest, WhateverIsWrittenKeepsTheLimitsAndCanBeRead) {
  for (int seed = 0; seed < 1'000; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(seed);
    ReportLimits limits;
    if (seed % 2 == 0) {
      limits.max_bytes = 30 + random() % 1'000;
      limits.max_depth = 1 + static_cast<int>(random() % 10);
      limits.max_calls = static_cast<int>(random() % 10);
      limits.max_name_bytes = random() % 40;
    }
    const v1::BudgetReport report = RandomReport(random, seed % 4 != 1);
    const std::string bytes = EncodeReport(report, limits);
    ASSERT_LE(bytes.size(), limits.max_bytes);
    if (bytes.empty()) continue;
    const auto read = ParseReport(bytes, limits);
    ASSERT_TRUE(read) << report.ShortDebugString();
    ASSERT_LE(DepthOf(*read), limits.max_depth);
    ASSERT_LE(WidthOf(*read), limits.max_calls);
    // Encoding is idempotent: parsing and encoding it again changes nothing.
    ASSERT_EQ(read->SerializeAsString(), bytes);
    ASSERT_EQ(EncodeReport(*read, limits), bytes);
    ASSERT_LE(SelfTimeUs(*read), read->total_us());
  }
}

TEST(ReportPropertyTest, WithoutLimitsNothingIsLost) {
  for (int seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(seed);
    const v1::BudgetReport report = RandomReport(random, false);
    const v1::BudgetReport read = Sent(report, kNoLimits);
    ASSERT_EQ(DepthOf(read), DepthOf(report));
    ASSERT_EQ(WidthOf(read), WidthOf(report));
    ASSERT_EQ(SelfTimeUs(read), SelfTimeUs(report));
  }
}

TEST(ReportPropertyTest, BrokenBytesAreRejectedOrGood) {
  int rejected = 0;
  int good = 0;
  for (int seed = 0; seed < 2'000; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(seed);
    std::string bytes = EncodeReport(RandomReport(random, false));
    if (bytes.empty()) continue;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto read = ParseReport(bytes);
    if (!read) {
      ++rejected;
      continue;
    }
    ++good;
    const std::string again = EncodeReport(*read);
    ASSERT_TRUE(again.empty() || ParseReport(again));
  }
  EXPECT_GT(rejected, 100);
  EXPECT_GT(good, 100);
}

}  // namespace
}  // namespace tether
