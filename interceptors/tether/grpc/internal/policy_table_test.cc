#include "tether/grpc/internal/policy_table.h"

#include <gtest/gtest.h>

#include <cmath>
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

int Spent(ShedBudget& budget, int requests) {
  int spent = 0;
  for (int i = 0; i < requests; ++i) {
    budget.Earn();
    if (budget.Spend()) ++spent;
  }
  return spent;
}

TEST(ShedBudgetTest, SpendsNoMoreThanItsShare) {
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

TEST(ShedBudgetTest, SenselessSharesAreTamed) {
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

}  // namespace
}  // namespace tether::internal
