// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/policy_table.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace tether::internal {
namespace {

TimePolicy Max(int seconds) {
  TimePolicy policy;
  policy.max_timeout = absl::Seconds(seconds);
  return policy;
}

int MaxFor(const PolicyTable& table, std::string_view method) {
  return static_cast<int>(absl::ToInt64Seconds(table.For(method).max_timeout));
}

TEST(PolicyTableTest, WithoutPatternsAllHaveTheServersPolicy) {
  const PolicyTable table(Max(1), {});
  EXPECT_EQ(MaxFor(table, "/a.B/C"), 1);
  EXPECT_EQ(MaxFor(table, ""), 1);
}

TEST(PolicyTableTest, TheMoreExactPatternCounts) {
  const PolicyTable table(
      Max(1), {{"*", Max(2)}, {"/a.B/*", Max(3)}, {"/a.B/C", Max(4)}});
  EXPECT_EQ(MaxFor(table, "/a.B/C"), 4);
  EXPECT_EQ(MaxFor(table, "/a.B/D"), 3);
  EXPECT_EQ(MaxFor(table, "/a.BB/C"), 2);
}

TEST(PolicyTableTest, OfEqualPatternsTheFirstCounts) {
  const PolicyTable table(Max(1), {{"*", Max(2)},
                                   {"*", Max(3)},
                                   {"/a.B/*", Max(4)},
                                   {"/a.B/*", Max(5)},
                                   {"/a.B/C", Max(6)},
                                   {"/a.B/C", Max(7)}});
  EXPECT_EQ(MaxFor(table, "/x/y"), 2);
  EXPECT_EQ(MaxFor(table, "/a.B/x"), 4);
  EXPECT_EQ(MaxFor(table, "/a.B/C"), 6);
}

TEST(PolicyTableTest, OtherPatternsAndMethodsMatchNothing) {
  const PolicyTable table(
      Max(1),
      {{"/a.*/C", Max(2)}, {"", Max(3)}, {"a.B/C", Max(4)}, {"/*", Max(5)}});
  EXPECT_EQ(MaxFor(table, "/a.B/C"), 1);
  EXPECT_EQ(MaxFor(table, "/"), 1);
  EXPECT_EQ(MaxFor(table, "no slash"), 1);
  EXPECT_EQ(MaxFor(table, std::string_view("\0/\0", 3)), 1);
}

TEST(PolicyTableTest, AFieldIsTakenFromTheMostSpecificPolicyThatSetsIt) {
  TimePolicy server;
  server.max_timeout = absl::Seconds(1);
  server.default_timeout = absl::Seconds(2);
  server.min_budget = absl::Seconds(3);
  TimePolicy all;
  all.default_timeout = absl::Seconds(12);
  TimePolicy service;
  service.min_budget = absl::Seconds(23);
  TimePolicy method;
  method.max_timeout = absl::Seconds(31);
  // Their order doesn't matter.
  const PolicyTable table(
      server, {{"/a.B/C", method}, {"/a.B/*", service}, {"*", all}});
  const auto expect = [&table](std::string_view name, int max, int by_default,
                               int min) {
    SCOPED_TRACE(name);
    EXPECT_EQ(table.For(name).max_timeout, absl::Seconds(max));
    EXPECT_EQ(table.For(name).default_timeout, absl::Seconds(by_default));
    EXPECT_EQ(table.For(name).min_budget, absl::Seconds(min));
  };
  expect("/a.B/C", 31, 12, 23);
  expect("/a.B/D", 1, 12, 23);
  expect("/a.X/C", 1, 12, 3);
}

TEST(PolicyTableTest, UnlimitedIsNotUnset) {
  TimePolicy unlimited;
  unlimited.max_timeout = absl::InfiniteDuration();
  unlimited.default_timeout = absl::InfiniteDuration();
  unlimited.min_budget = absl::ZeroDuration();
  TimePolicy server = Max(1);
  server.default_timeout = absl::Seconds(1);
  server.min_budget = absl::Seconds(1);
  const PolicyTable table(server, {{"/a.B/C", unlimited}});
  const TimeLimits& limits = table.For("/a.B/C");
  EXPECT_EQ(limits.max_timeout, absl::InfiniteDuration());
  EXPECT_EQ(limits.default_timeout, absl::InfiniteDuration());
  EXPECT_EQ(limits.min_budget, absl::ZeroDuration());
}

TEST(PolicyTableTest, AProbesOwnPolicyTakesNoMinBudgetFromTheServers) {
  TimePolicy server;
  server.min_budget = absl::Seconds(1);
  const PolicyTable table(server, {{"/grpc.health.v1.Health/Check", Max(5)}});
  const TimeLimits& limits = table.For("/grpc.health.v1.Health/Check");
  EXPECT_EQ(limits.max_timeout, absl::Seconds(5));
  EXPECT_EQ(limits.min_budget, absl::ZeroDuration());
}

TEST(PolicyTableTest, HealthChecksAndReflectionAreWorthBeginningUnlessNamed) {
  TimePolicy policy = Max(1);
  policy.min_budget = absl::Seconds(1);
  const char* const probes[] = {
      "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
  const std::vector<MethodPolicy> for_all = {{"*", policy}};
  for (const char* probe : probes) {
    SCOPED_TRACE(probe);
    for (const auto& table :
         {PolicyTable(policy, {}), PolicyTable(TimePolicy(), for_all)}) {
      EXPECT_EQ(table.For(probe).min_budget, absl::ZeroDuration());
      EXPECT_EQ(table.For(probe).max_timeout, absl::Seconds(1));
      EXPECT_EQ(table.For("/a.B/C").min_budget, absl::Seconds(1));
      EXPECT_EQ(table.For("/grpc.health.v1.HealthX/Check").min_budget,
                absl::Seconds(1));
    }
    const PolicyTable by_name(TimePolicy(), {{probe, policy}});
    EXPECT_EQ(by_name.For(probe).min_budget, absl::Seconds(1));
  }
  const PolicyTable by_service(TimePolicy(),
                               {{"/grpc.health.v1.Health/*", policy}});
  EXPECT_EQ(by_service.For(probes[0]).min_budget, absl::Seconds(1));
}

}  // namespace
}  // namespace tether::internal
