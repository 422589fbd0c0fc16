// SPDX-License-Identifier: Apache-2.0
//
// Reports for tests.

#ifndef TETHER_BUDGET_TESTING_REPORTS_H_
#define TETHER_BUDGET_TESTING_REPORTS_H_

#include <cstdint>
#include <random>
#include <string_view>

#include "tether/v1/budget_report.pb.h"

namespace tether::testing {

// Returns a call to /shop.v1.SERVICE/METHOD that got no answer:
// DEADLINE_EXCEEDED. `name` is "SERVICE/METHOD".
v1::CallReport UnansweredCall(std::string_view name, int64_t start_us,
                              int64_t duration_us);

// Like UnansweredCall, but answered with OK by a hop that took all of the time.
v1::CallReport AnsweredCall(std::string_view name, int64_t start_us,
                            int64_t duration_us);

// Returns the report in `hop`, with the names of the call.
v1::BudgetReport ReportOf(const v1::CallReport& hop);

// A client with a deadline of 200 ms calls storefront, storefront calls orders,
// and orders calls inventory, which doesn't answer. Their own times are 4, 9
// and 187 ms.
v1::CallReport StuckInventory();

// Nested calls, `depth` hops in all. Each begins 1 ms after the one around it,
// and ends 1 ms before it.
v1::CallReport Chain(int depth);

// A tree of random shape. If `wild`, it also has values that no honest hop
// would send.
v1::BudgetReport RandomReport(std::mt19937_64& random, bool wild);

// How many hops deep `hop` is, itself included.
int DepthOf(const v1::BudgetReport& hop);

// The largest number of calls that one hop in `hop` made.
int WidthOf(const v1::BudgetReport& hop);

}  // namespace tether::testing

#endif  // TETHER_BUDGET_TESTING_REPORTS_H_
