// SPDX-License-Identifier: Apache-2.0
//
// Writes pages of made-up requests into a folder, for html_render_test.
//
//   sample_pages FOLDER

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "services/demo/html.h"
#include "services/demo/story.h"
#include "tether/budget/blame.h"
#include "tether/budget/testing/reports.h"

namespace shop {
namespace {

using tether::testing::AnsweredCall;
using tether::testing::StuckInventory;
using tether::testing::UnansweredCall;

DemoStory StoryOf(const tether::v1::CallReport& call) {
  DemoStory story;
  story.order_id = "1042";
  story.deadline = absl::Microseconds(call.time_left_us());
  story.inventory_timeout = absl::Seconds(10);
  story.availability = "42 in stock";
  story.result.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
  story.result.set_status_code(call.outcome());
  story.result.set_elapsed_ms(static_cast<double>(call.duration_us()) / 1e3);
  story.timeline = tether::MakeTimeline(call);
  if (call.outcome() != 0) {
    story.result.set_status_message(tether::BlameDeadline(call));
  }
  story.expected_hops = static_cast<int>(story.timeline.rows.size());
  for (const tether::TimelineRow& row : story.timeline.rows) {
    story.result.add_hops()->set_outcome(
        absl::StrReplaceAll(row.outcome, {{" ", "_"}}));
  }
  return story;
}

// A page with many calls: parallel calls, retries, a slow network.
tether::v1::CallReport FanOut() {
  tether::v1::CallReport front =
      AnsweredCall("Storefront/GetOrderPage", 0, 164'300);
  front.set_time_left_us(200'000);
  tether::v1::BudgetReport& hop = *front.mutable_report();
  hop.set_total_us(163'200);
  hop.set_time_left_us(199'700);
  for (int i = 0; i < 2; ++i) {
    tether::v1::CallReport& call = *hop.add_calls();
    call = AnsweredCall("Sessions/Check", 1'500 + 18'000 * i, 16'500);
    call.mutable_report()->set_time_left_us(198'000 - 18'000 * i);
    call.mutable_report()->set_total_us(i == 0 ? 16'100 : 9'000);
    if (i == 0) call.set_outcome(14);
  }
  tether::v1::CallReport orders =
      AnsweredCall("Orders/GetOrder", 38'000, 121'000);
  orders.mutable_report()->set_total_us(119'800);
  orders.mutable_report()->set_time_left_us(160'800);
  tether::v1::CallReport inventory =
      UnansweredCall("Inventory/GetStock", 2'100, 100'000);
  inventory.set_time_left_us(100'000);
  inventory.set_reason(tether::v1::END_REASON_OWN_TIMEOUT);
  *orders.mutable_report()->add_calls() = inventory;
  orders.mutable_report()->set_calls_left_out(3);
  *hop.add_calls() = orders;
  tether::v1::CallReport reviews = AnsweredCall("Reviews/List", 38'200, 60'000);
  reviews.mutable_report()->set_total_us(21'000);
  reviews.mutable_report()->set_time_left_us(140'000);
  *hop.add_calls() = reviews;
  tether::v1::CallReport prices = AnsweredCall("Pricing/Quote", 38'400, 44'000);
  prices.clear_report();
  prices.set_time_left_us(160'000);
  *hop.add_calls() = prices;
  return front;
}

DemoStory Hostile() {
  DemoStory story = StoryOf(FanOut());
  story.order_id = "<script>document.title='broken'</script>\"'&";
  story.result.set_status_code(13);
  story.result.set_status_message("</p><img src=x onerror=\"x\">\x01" +
                                  std::string(300, 'W'));
  story.result.set_trace_id("\" onload=\"x");
  for (tether::TimelineRow& row : story.timeline.rows) {
    row.name = "<b>" + std::string(40, 'W') + "." + std::string(40, 'M');
    row.outcome = "<i>" + std::string(20, 'W');
    row.notes.push_back("<s>" + std::string(100, 'n'));
    row.depth += 20;
  }
  return story;
}

bool Write(const std::string& path, const DemoStory& story) {
  std::ofstream file(path);
  file << HtmlPage(story);
  file.close();
  if (!file) std::fprintf(stderr, "can't write %s\n", path.c_str());
  return file.good();
}

}  // namespace
}  // namespace shop

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  tether::v1::CallReport quick = tether::testing::Chain(3);
  quick.set_time_left_us(1'000'000);
  const bool ok =
      shop::Write(folder + "deadline.html",
                  shop::StoryOf(tether::testing::StuckInventory())) &&
      shop::Write(folder + "fan_out.html", shop::StoryOf(shop::FanOut())) &&
      shop::Write(folder + "quick.html", shop::StoryOf(quick)) &&
      shop::Write(folder + "many.html",
                  shop::StoryOf(tether::testing::Chain(70))) &&
      shop::Write(folder + "empty.html", shop::DemoStory()) &&
      shop::Write(folder + "hostile.html", shop::Hostile());
  return ok ? 0 : 1;
}
