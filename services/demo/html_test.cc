// SPDX-License-Identifier: Apache-2.0

#include "services/demo/html.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/demo/story.h"
#include "tether/budget/testing/reports.h"

namespace shop {
namespace {

using testing::HasSubstr;
using testing::Not;

int Count(const std::string& text, const std::string& part) {
  const std::vector<std::string> parts = absl::StrSplit(text, part);
  return static_cast<int>(parts.size()) - 1;
}

class HtmlTest : public testing::Test {
 protected:
  HtmlTest() {
    story_.order_id = "1042";
    story_.deadline = absl::Milliseconds(200);
    story_.result.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
    story_.result.set_status_code(4);
    story_.result.set_elapsed_ms(200);
    story_.timeline = tether::MakeTimeline(tether::testing::StuckInventory());
  }

  DemoStory story_;
};

TEST_F(HtmlTest, HasARowForEachCall) {
  const std::string page = HtmlPage(story_);
  EXPECT_EQ(Count(page, "<tr role=\"row\" class=\"depth"), 3);
  for (const char* part :
       {"inventory<span>.GetStock</span>", "187.0 ms", "did not answer",
        "deadline exceeded", "inherited deadline", "200.0 ms",
        "4bf92f3577b34da6a3ce929d0e0e4736", "Order 1042"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
}

TEST_F(HtmlTest, BarsAreWhereTheTimesAre) {
  const std::string page = HtmlPage(story_);
  // The axis ends at 204 ms. Inventory: 187 ms from 6 ms on.
  EXPECT_THAT(page, HasSubstr("<i class=\"lost\" style=\"--at:2.941%;"
                              "--length:91.667%\">"));
  // Orders begins at 2 ms, works 4 ms, waits for inventory, and works 5 ms
  // more.
  EXPECT_THAT(page, HasSubstr("<i class=\"wait\" style=\"--at:2.941%;"
                              "--length:91.667%\">"));
  EXPECT_THAT(page, HasSubstr("<i class=\"own\" style=\"--at:0.980%;"
                              "--length:1.961%\">"));
  EXPECT_THAT(page, HasSubstr("<i class=\"own\" style=\"--at:94.608%;"
                              "--length:2.451%\">"));
  // The deadline.
  EXPECT_EQ(Count(page, "<i class=\"deadline\" style=\"--at:98.039%\">"), 3);
}

TEST_F(HtmlTest, ADeadlineFarAwayIsOnlyAFigure) {
  story_.timeline.deadline_us = 400'000;
  EXPECT_THAT(HtmlPage(story_), HasSubstr("class=\"deadline\""));
  story_.timeline.deadline_us = 401'000;
  EXPECT_THAT(HtmlPage(story_), Not(HasSubstr("class=\"deadline\"")));
}

TEST_F(HtmlTest, ACallsOwnDeadlineIsMarkedInItsRow) {
  EXPECT_THAT(HtmlPage(story_), Not(HasSubstr("class=\"end\"")));
  story_.timeline.rows[2].time_left_us = 50'000;
  // The other rows end at the request's deadline, or close to it.
  EXPECT_EQ(Count(HtmlPage(story_), "<i class=\"end\" style="), 1);
  EXPECT_THAT(HtmlPage(story_),
              HasSubstr("<i class=\"end\" style=\"--at:27.451%\">"));
}

TEST_F(HtmlTest, OfADeadlineThatEndedTheCallNothingIsLeft) {
  story_.result.set_elapsed_ms(187);  // the rest is the reserve for replies
  EXPECT_THAT(HtmlPage(story_), HasSubstr("200ms <small>used up</small>"));
  story_.result.set_status_code(0);
  EXPECT_THAT(HtmlPage(story_), HasSubstr("200ms <small>13.0 ms left</small>"));
}

TEST_F(HtmlTest, TheTicksAreRound) {
  for (const auto& [end_us, last] :
       std::vector<std::pair<int64_t, std::string>>{{1, "0.001 ms"},
                                                    {6'000, "6 ms"},
                                                    {49'000, "40 ms"},
                                                    {200'000, "200 ms"},
                                                    {7'000'000, "6000 ms"}}) {
    story_.timeline = {};
    story_.timeline.end_us = end_us;
    story_.timeline.rows.emplace_back();
    EXPECT_THAT(HtmlPage(story_), HasSubstr(">" + last + "</span></th>"));
  }
}

TEST_F(HtmlTest, NoTickRunsIntoTheLast) {
  const auto axis_of = [this](int64_t end_us) {
    story_.timeline = {};
    story_.timeline.end_us = end_us;
    story_.timeline.rows.emplace_back();
    const std::string page = HtmlPage(story_);
    const size_t begin = page.find("<th class=\"axis\"");
    return page.substr(begin, page.find("</th>", begin) - begin);
  };
  EXPECT_THAT(axis_of(200'000), HasSubstr(">150<"));
  EXPECT_THAT(axis_of(4'500'000), HasSubstr(">4000 ms<"));
  EXPECT_THAT(axis_of(4'500'000), HasSubstr(">2000<"));
  EXPECT_THAT(axis_of(4'500'000), Not(HasSubstr(">3000<")));  // too wide
}

TEST_F(HtmlTest, ALegendOnlyForWhatIsThere) {
  EXPECT_THAT(HtmlPage(story_), Not(HasSubstr("on the way")));
  EXPECT_THAT(HtmlPage(story_), HasSubstr("no answer</li>"));
  story_.timeline = tether::MakeTimeline(tether::testing::Chain(2));
  EXPECT_THAT(HtmlPage(story_), Not(HasSubstr("no answer</li>")));
}

TEST_F(HtmlTest, LoadsNothingAndRunsNothing) {
  const std::string page = HtmlPage(story_);
  for (const char* part : {"<script", "src=", "href=", "url(", "@import",
                           "http:", "https:", "//"}) {
    EXPECT_THAT(page, Not(HasSubstr(part)));
  }
  EXPECT_THAT(page, HasSubstr("content=\"default-src 'none'; style-src "
                              "'unsafe-inline'\""));
}

TEST_F(HtmlTest, TheStatusMessageIsToldOnce) {
  story_.result.set_status_message("deadline exceeded: 200ms, of which …");
  EXPECT_EQ(Count(HtmlPage(story_), "200ms, of which …"), 1);
  story_.result.set_status_code(14);  // now the message is in the sentence
  EXPECT_EQ(Count(HtmlPage(story_), "200ms, of which …"), 1);
}

TEST_F(HtmlTest, TextsAreEscaped) {
  const std::string evil = "<b onclick=\"x\">'&";
  story_.order_id = evil;
  story_.result.set_trace_id(evil);
  story_.result.set_status_message(evil);
  for (tether::TimelineRow& row : story_.timeline.rows) {
    row.name = evil + "." + evil;
    row.outcome = evil;
    row.reason = evil;
    row.notes.push_back(evil);
  }
  const std::string page = HtmlPage(story_);
  EXPECT_THAT(page, Not(HasSubstr("<b onclick")));
  EXPECT_THAT(page, Not(HasSubstr("onclick=\"")));
  // The title, the heading, the message, the trace, and five texts per row.
  EXPECT_EQ(Count(page, EscapeHtml(evil)), 4 + 3 * 5);
}

TEST_F(HtmlTest, EscapesWhatMeansSomething) {
  EXPECT_EQ(EscapeHtml("a<b>&\"'\n\x1b\x7f é"),
            "a&lt;b&gt;&amp;&quot;&#39;    é");
  EXPECT_EQ(EscapeHtml(absl::string_view("\0x", 2)), " x");
}

TEST_F(HtmlTest, SaysThatThereIsNothing) {
  EXPECT_THAT(HtmlPage(DemoStory()), HasSubstr("No hop told"));
  EXPECT_THAT(HtmlPage(DemoStory()), Not(HasSubstr("<table")));
}

}  // namespace
}  // namespace shop
