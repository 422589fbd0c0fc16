#include "tether/grpc/internal/policy_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <string>
#include <thread>
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

int Spent(ShedBudget& budget, int requests) {
  int spent = 0;
  for (int i = 0; i < requests; ++i) {
    budget.Earn();
    if (budget.Spend()) ++spent;
  }
  return spent;
}

TEST(ShedBudgetTest, SpendsNoMoreThanItsFraction) {
  ShedBudget fifth(0.2);
  EXPECT_NEAR(Spent(fifth, 1000), 200, 1);
  ShedBudget none(0);
  EXPECT_EQ(Spent(none, 1000), 0);
  ShedBudget all(1);
  EXPECT_EQ(Spent(all, 1000), 1000);
}

TEST(ShedBudgetTest, SavesUpTenAtMost) {
  ShedBudget budget(0.5);
  for (int i = 0; i < 1000; ++i) budget.Earn();
  int spent = 0;
  while (budget.Spend()) ++spent;
  EXPECT_EQ(spent, 10);
}

TEST(ShedBudgetTest, FractionsOutOfRangeAreClamped) {
  ShedBudget negative(-1);
  EXPECT_EQ(Spent(negative, 100), 0);
  ShedBudget nan(std::nan(""));
  EXPECT_EQ(Spent(nan, 100), 0);
  ShedBudget large(7);
  EXPECT_EQ(Spent(large, 100), 100);
}

TEST(ShedBudgetTest, NeverSpendsMoreThanWasEarnedOnManyThreads) {
  ShedBudget budget(0.25);
  std::vector<std::thread> threads;
  std::atomic<int> spent{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { spent += Spent(budget, 10'000); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(spent, 10'000);
  EXPECT_GT(spent, 5'000);
}

TEST(ShedBudgetsTest, AMinorityMethodIsProtectedToo) {
  ShedBudgets budgets(0.2);
  int turned_away = 0;
  for (int i = 0; i < 10'000; ++i) {
    budgets.For("/shop.v1.Orders/GetOrder").Earn();  // in time, all of them
    if (i % 20 != 0) continue;
    ShedBudget& minority = budgets.For("/shop.v1.Orders/Export");
    minority.Earn();
    if (minority.Spend()) ++turned_away;
  }
  EXPECT_NEAR(turned_away, 100, 1);  // of 500
}

TEST(ShedBudgetsTest, AnyNumberOfMethodsIsServed) {
  ShedBudgets budgets(1);
  ShedBudget& first = budgets.For("/a.B/C");
  for (int i = 0; i < 100'000; ++i) {
    ShedBudget& budget = budgets.For("/a.B/" + std::to_string(i));
    budget.Earn();
    EXPECT_TRUE(budget.Spend());
  }
  EXPECT_EQ(&budgets.For("/a.B/C"), &first);
}

}  // namespace
}  // namespace tether::internal
