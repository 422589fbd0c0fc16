// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/testing/reports.h"

#include <algorithm>
#include <limits>
#include <string>

namespace tether::testing {
namespace {

constexpr int kDeadlineExceeded = 4;

int Below(std::mt19937_64& random, int n) {
  return static_cast<int>(random() % static_cast<uint64_t>(n));
}

int64_t RandomTime(std::mt19937_64& random, bool wild) {
  if (wild && Below(random, 8) == 0) {
    const int64_t times[] = {-1,
                             std::numeric_limits<int64_t>::min(),
                             std::numeric_limits<int64_t>::max(),
                             1'000'000'000'000'000,
                             1'000'000'000'000'001,
                             static_cast<int64_t>(random())};
    return times[Below(random, 6)];
  }
  return Below(random, 4) == 0 ? 0 : Below(random, 300'000);
}

std::string RandomName(std::mt19937_64& random, bool wild) {
  const char* const names[] = {"shop.v1.Orders", "shop.v1.Inventory",
                               "GetStock", "a/b_c-d.E", ""};
  if (!wild || Below(random, 4) != 0) return names[Below(random, 5)];
  std::string name(static_cast<size_t>(Below(random, 200)), ' ');
  for (char& c : name) c = static_cast<char>(Below(random, 256));
  return name;
}

template <class Message>
void SetCommon(std::mt19937_64& random, bool wild, Message& message) {
  message.set_service(RandomName(random, wild));
  message.set_method(RandomName(random, wild));
  if (Below(random, 2) == 0) message.set_time_left_us(RandomTime(random, wild));
  message.set_outcome(Below(random, 17));
  message.set_reason(static_cast<v1::EndReason>(Below(random, 10)));
  if (!wild || Below(random, 4) != 0) return;
  message.set_outcome(static_cast<int>(random()));
  message.set_reason(static_cast<v1::EndReason>(static_cast<int>(random())));
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(
      1 + Below(random, 20), random());
}

v1::BudgetReport RandomHop(std::mt19937_64& random, bool wild, int depth) {
  v1::BudgetReport hop;
  SetCommon(random, wild, hop);
  hop.set_total_us(RandomTime(random, wild));
  if (Below(random, 4) == 0) hop.set_self_us(RandomTime(random, wild));
  hop.set_previous_attempts(Below(random, 3));
  hop.set_calls_left_out(Below(random, 3));
  if (wild && Below(random, 4) == 0) {
    hop.set_previous_attempts(static_cast<int>(random()));
    hop.set_calls_left_out(static_cast<int>(random()));
  }
  // Narrow and deep, or wide and shallow.
  const int width = depth == 0 ? Below(random, 25) : Below(random, 4);
  const int max_depth = Below(random, 4) == 0 ? 25 : 5;
  for (int i = 0; i < width; ++i) {
    v1::CallReport& call = *hop.add_calls();
    SetCommon(random, wild, call);
    call.set_start_us(RandomTime(random, wild));
    call.set_duration_us(RandomTime(random, wild));
    call.set_answered(Below(random, 2) == 0);
    call.set_report_left_out(Below(random, 8) == 0);
    if (Below(random, 2) == 0) call.set_label(RandomName(random, wild));
    if (Below(random, 2) == 0) call.set_address(RandomName(random, wild));
    if (depth < max_depth && Below(random, 2) == 0) {
      *call.mutable_report() = RandomHop(random, wild, depth + 1);
    }
  }
  return hop;
}

}  // namespace

v1::CallReport UnansweredCall(std::string_view name, int64_t start_us,
                              int64_t duration_us) {
  const size_t slash = name.find('/');
  v1::CallReport call;
  call.set_service("shop.v1." + std::string(name.substr(0, slash)));
  call.set_method(std::string(name.substr(slash + 1)));
  call.set_start_us(start_us);
  call.set_duration_us(duration_us);
  call.set_outcome(kDeadlineExceeded);
  call.set_reason(v1::END_REASON_INHERITED_DEADLINE);
  return call;
}

v1::CallReport AnsweredCall(std::string_view name, int64_t start_us,
                            int64_t duration_us) {
  v1::CallReport call = UnansweredCall(name, start_us, duration_us);
  call.set_answered(true);
  call.set_outcome(0);
  call.set_reason(v1::END_REASON_COMPLETED);
  call.mutable_report()->set_total_us(duration_us);
  call.mutable_report()->set_reason(v1::END_REASON_COMPLETED);
  return call;
}

v1::BudgetReport ReportOf(const v1::CallReport& hop) {
  v1::BudgetReport report = hop.report();
  report.set_service(hop.service());
  report.set_method(hop.method());
  return report;
}

v1::CallReport StuckInventory() {
  v1::CallReport inventory =
      UnansweredCall("Inventory/GetStock", 4'000, 187'000);
  inventory.set_time_left_us(187'000);

  v1::CallReport orders = AnsweredCall("Orders/GetOrder", 2'000, 196'000);
  orders.set_time_left_us(197'000);
  orders.mutable_report()->set_time_left_us(197'000);
  *orders.mutable_report()->add_calls() = inventory;

  v1::CallReport storefront =
      AnsweredCall("Storefront/GetOrderPage", 0, 200'000);
  storefront.set_time_left_us(200'000);
  storefront.mutable_report()->set_time_left_us(199'600);
  *storefront.mutable_report()->add_calls() = orders;

  v1::CallReport* hop = &storefront;
  for (int i = 0; i < 2; ++i) {
    hop->set_outcome(kDeadlineExceeded);
    hop->set_reason(v1::END_REASON_INHERITED_DEADLINE);
    hop->mutable_report()->set_outcome(kDeadlineExceeded);
    hop->mutable_report()->set_reason(v1::END_REASON_INHERITED_DEADLINE);
    hop = hop->mutable_report()->mutable_calls(0);
  }
  return storefront;
}

v1::CallReport Chain(int depth) {
  v1::CallReport top = AnsweredCall("Hop/Go", 0, 2'000 * int64_t{depth});
  v1::CallReport* hop = &top;
  for (int i = 1; i < depth; ++i) {
    v1::CallReport& next = *hop->mutable_report()->add_calls();
    next = AnsweredCall("Hop/Go", 1'000, hop->duration_us() - 2'000);
    hop = &next;
  }
  return top;
}

v1::BudgetReport RandomReport(std::mt19937_64& random, bool wild) {
  return RandomHop(random, wild, 0);
}

int DepthOf(const v1::BudgetReport& hop) {
  int below = 0;
  for (const v1::CallReport& call : hop.calls()) {
    if (call.has_report()) below = std::max(below, DepthOf(call.report()));
  }
  return 1 + below;
}

int WidthOf(const v1::BudgetReport& hop) {
  int width = hop.calls_size();
  for (const v1::CallReport& call : hop.calls()) {
    width = std::max(width, WidthOf(call.report()));
  }
  return width;
}

}  // namespace tether::testing
