// Reports for tests.

#ifndef TETHER_BUDGET_TESTING_REPORTS_H_
#define TETHER_BUDGET_TESTING_REPORTS_H_

#include <cstdint>
#include <random>
#include <string_view>

#include "tether/v1/budget_report.pb.h"

namespace tether::testing {

// A call to /shop.v1.SERVICE/METHOD, given as "Orders/GetOrder", that got no
// answer: DEADLINE_EXCEEDED.
v1::CallReport UnansweredCall(std::string_view name, int64_t start_us,
                              int64_t duration_us);

// One that was answered with OK, by a hop that took all of the time.
v1::CallReport AnsweredCall(std::string_view name, int64_t start_us,
                            int64_t duration_us);

// `hop` without the CallReport around it, under its names.
v1::BudgetReport ReportOf(const v1::CallReport& hop);

// A client with 200 ms calls storefront, which calls orders, which calls
// inventory, which doesn't answer: their own times are 4, 9 and 187 ms.
v1::CallReport StuckInventory();

// Calls within calls, `depth` hops in all; each takes 1 ms less than the one
// before, on both sides.
v1::CallReport Chain(int depth);

// A tree of any form. If `wild`, also with what no honest hop would tell.
v1::BudgetReport RandomReport(std::mt19937_64& random, bool wild);

}  // namespace tether::testing

#endif  // TETHER_BUDGET_TESTING_REPORTS_H_
