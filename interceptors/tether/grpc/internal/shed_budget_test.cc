// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/shed_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

namespace tether::internal {
namespace {

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
    budgets.For("/shop.v1.Orders/GetOrder").Earn();  // all of them in time
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
