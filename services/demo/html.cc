// SPDX-License-Identifier: Apache-2.0

#include "services/demo/html.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/demo/html_style.h"

namespace shop {
namespace {

using tether::Timeline;
using tether::TimelineRow;
using tether::TimeSpan;

// How far the axis continues after its last event, so that a line at the very
// end is visible.
constexpr double kAxisMargin = 1.02;

// A deadline isn't drawn if it is later than this many times the length of the
// request.
constexpr int64_t kFarDeadline = 2;

constexpr int kMaxIndent = 8;

// ---- The axis --------------------------------------------------------------

class Axis {
 public:
  explicit Axis(const Timeline& timeline) {
    int64_t end_us = std::max<int64_t>(timeline.end_us, 1);
    if (timeline.deadline_us &&
        *timeline.deadline_us / kFarDeadline <= end_us) {
      end_us = std::max(end_us, *timeline.deadline_us);
      deadline_us_ = timeline.deadline_us;
    }
    end_us_ = static_cast<double>(end_us) * kAxisMargin;
  }

  // The deadline, if it is within the axis.
  const std::optional<int64_t>& deadline_us() const { return deadline_us_; }

  bool Shows(int64_t us) const { return static_cast<double>(us) <= end_us_; }

  bool IsNearItsEnd(int64_t us) const {
    return static_cast<double>(us) > 0.9 * end_us_;
  }

  // A fraction of the axis, 0 to 1.
  double Share(int64_t us) const {
    return std::clamp(static_cast<double>(us) / end_us_, 0.0, 1.0);
  }

  // "12.345%".
  std::string Percent(int64_t us) const {
    return absl::StrFormat("%.3f%%", 100 * Share(us));
  }

  std::string Position(int64_t us) const {
    return absl::StrCat("--at:", Percent(us));
  }

  std::string Position(TimeSpan span) const {
    return absl::StrCat(Position(span.begin_us),
                        ";--length:", Percent(span.length_us()));
  }

  // Round times: at most six, at distances of 1, 2 or 5 times a power of ten.
  std::vector<int64_t> Ticks() const {
    double step = 1;
    for (int i = 0; end_us_ / step > 5; ++i) step *= i % 3 == 1 ? 2.5 : 2;
    std::vector<int64_t> ticks;
    for (int i = 0; i * step <= end_us_; ++i) {
      ticks.push_back(static_cast<int64_t>(i * step));
    }
    return ticks;
  }

 private:
  std::optional<int64_t> deadline_us_;
  double end_us_;
};

// ---- Small parts -----------------------------------------------------------

std::string FormatUs(int64_t us) {
  return FormatMs(static_cast<double>(us) / 1e3);
}

// Without trailing zeros: "50", "0.2".
std::string TickText(int64_t us) {
  return absl::StrCat(static_cast<double>(us) / 1e3);
}

const char* ClassOf(const std::string& outcome) {
  if (outcome == "ok") return "good";
  if (outcome == "deadline exceeded" || outcome == "cancelled") return "late";
  return "bad";
}

std::string Mark(const std::string& outcome) {
  return absl::StrFormat("<span class=\"mark %s\">%s</span>", ClassOf(outcome),
                         EscapeHtml(outcome));
}

std::string Fact(const char* name, const std::string& html) {
  return absl::StrFormat("<div><dt>%s</dt><dd>%s</dd></div>\n", name, html);
}

std::string Bar(const char* type, const std::string& position) {
  return absl::StrFormat("<i class=\"%s\" style=\"%s\"></i>", type, position);
}

// ---- The parts of the page -------------------------------------------------

std::string Header(const DemoStory& story) {
  const std::string outcome = OutcomeOf(story.result);
  const double left_ms =
      absl::ToDoubleMilliseconds(story.deadline) - story.result.elapsed_ms();
  std::string html = absl::StrFormat(
      "<header>\n<p class=\"kicker\">tether: where the time went</p>\n"
      "<h1>Order %s %s</h1>\n<p class=\"story\">%s</p>\n",
      EscapeHtml(story.order_id), Mark(outcome), EscapeHtml(Sentence(story)));
  if (const std::string blame = Blame(story); !blame.empty()) {
    absl::StrAppendFormat(&html, "<p class=\"message\">%s</p>\n",
                          EscapeHtml(blame));
  }
  absl::StrAppend(&html, "<dl class=\"facts\">\n");
  absl::StrAppend(
      &html, Fact("Took", FormatMs(story.result.elapsed_ms())),
      Fact("Deadline",
           absl::StrCat(absl::FormatDuration(story.deadline), " <small>",
                        left_ms > 0 && outcome != "deadline exceeded"
                            ? absl::StrCat(FormatMs(left_ms), " left")
                            : "used up",
                        "</small>")),
      Fact("Calls", absl::StrCat(story.timeline.rows.size(),
                                 story.timeline.cut ? " and more" : "")),
      Fact("Trace", absl::StrCat("<code>", EscapeHtml(story.result.trace_id()),
                                 "</code>")),
      "</dl>\n</header>\n");
  return html;
}

// True if the label of `tick` would overlap the label of the last tick, at the
// narrowest width of the axis (html_style.h). The last label has the unit, and
// ends at the axis' end or before. Computes in pixels.
bool RunsIntoLast(const Axis& axis, int64_t tick, int64_t last) {
  constexpr double kAxis = 256, kEm = 12.8, kDigit = 7.5, kGap = 4;
  const auto width = [](int64_t us, double more) {
    return kDigit * static_cast<double>(TickText(us).size()) + more;
  };
  const double right = kAxis * axis.Share(tick) + width(tick, 0) / 2;
  const double left =
      std::min(kAxis, kAxis * axis.Share(last) + kEm) - width(last, 2 * kEm);
  return right + kGap > left;
}

std::string AxisCell(const Axis& axis) {
  std::string html = "<th class=\"axis\" role=\"columnheader\">";
  if (axis.deadline_us()) {
    absl::StrAppendFormat(&html,
                          "<span class=\"flag\" style=\"%s\">deadline</span>",
                          axis.Position(*axis.deadline_us()));
  }
  const std::vector<int64_t> ticks = axis.Ticks();
  for (size_t i = 0; i < ticks.size(); ++i) {
    const int64_t tick = ticks[i];
    const bool last = tick == ticks.back();
    if (i + 2 == ticks.size() && i > 0 &&
        RunsIntoLast(axis, tick, ticks.back())) {
      continue;
    }
    absl::StrAppendFormat(&html, "<span class=\"%s\" style=\"%s\">%s%s</span>",
                          tick == 0 ? "first"
                          : last    ? "last"
                                    : "",
                          axis.Position(tick), TickText(tick),
                          last ? " ms" : "");
  }
  absl::StrAppend(&html, "</th>");
  return html;
}

// A row's bar, and the lines across it.
std::string LaneCell(const TimelineRow& row, const Axis& axis) {
  std::string html =
      absl::StrFormat("<td class=\"lane\" role=\"cell\" title=\"%s to %s\">",
                      FormatUs(row.call.begin_us), FormatUs(row.call.end_us));
  if (!row.answered) {
    absl::StrAppend(&html, Bar("lost", axis.Position(row.call)));
  } else if (!row.hop) {
    absl::StrAppend(&html, Bar("own", axis.Position(row.call)));
  } else {
    if (row.call != *row.hop) {
      absl::StrAppend(&html, Bar("way", axis.Position(row.call)));
    }
    // The parts between the waits.
    int64_t at = row.hop->begin_us;
    for (const TimeSpan& wait : row.waits) {
      absl::StrAppend(&html, Bar("wait", axis.Position(wait)));
      if (at < wait.begin_us) {
        absl::StrAppend(&html, Bar("own", axis.Position({at, wait.begin_us})));
      }
      at = wait.end_us;
    }
    if (at < row.hop->end_us || row.waits.empty()) {
      absl::StrAppend(&html, Bar("own", axis.Position({at, row.hop->end_us})));
    }
  }
  if (axis.deadline_us()) {
    absl::StrAppend(&html, Bar("deadline", axis.Position(*axis.deadline_us())));
  }
  // The hop's own deadline, if it differs from the request's.
  if (row.time_left_us) {
    const int64_t end =
        (row.hop ? row.hop->begin_us : row.call.begin_us) + *row.time_left_us;
    const int64_t near = axis.deadline_us().value_or(end + end);
    if (axis.Shows(end) && std::abs(near - end) > near / 20) {
      absl::StrAppend(&html, Bar("end", axis.Position(end)));
    }
  }
  absl::StrAppend(&html, "</td>");
  return html;
}

std::string NumberCell(const char* title, const std::string& number) {
  return absl::StrFormat(
      "<td class=\"number\" role=\"cell\"><abbr>%s</abbr>%s</td>", title,
      number);
}

std::string Row(const TimelineRow& row, const Axis& axis) {
  std::vector<std::string> more;
  if (!row.reason.empty()) more.push_back(row.reason);
  more.insert(more.end(), row.notes.begin(), row.notes.end());
  const int depth = std::clamp(row.depth, 0, kMaxIndent);
  const size_t dot = row.name.find('.');
  const bool has_method = dot != std::string::npos;
  return absl::StrCat(
      absl::StrFormat("<tr role=\"row\" class=\"depth%d\" style=\"--depth:%d\">"
                      "<th class=\"name\" role=\"rowheader\" scope=\"row\">%s"
                      "<span>%s</span></th>",
                      depth, depth, EscapeHtml(row.name.substr(0, dot)),
                      EscapeHtml(has_method ? row.name.substr(dot) : "")),
      LaneCell(row, axis),
      NumberCell("time left",
                 row.time_left_us ? FormatUs(*row.time_left_us) : "no limit"),
      NumberCell("took", FormatUs(row.call.length_us())),
      NumberCell("own time", FormatUs(row.own_us)),
      "<td class=\"outcome\" role=\"cell\">", Mark(row.outcome),
      more.empty()
          ? ""
          : absl::StrCat("<small>", EscapeHtml(absl::StrJoin(more, ", ")),
                         "</small>"),
      "</td></tr>\n");
}

std::string LegendItem(const char* type, const char* text) {
  return absl::StrFormat("<li><b><i class=\"%s\"></i></b>%s</li>\n", type,
                         text);
}

std::string TimelineCard(const Timeline& timeline, const Axis& axis) {
  if (timeline.rows.empty()) {
    return "<section class=\"card\"><p class=\"none\">No hop told of the "
           "request.</p></section>\n";
  }
  std::string html = absl::StrCat(
      "<section class=\"card\" aria-label=\"Timeline\">\n"
      "<table role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\">"
      "<th class=\"name\" role=\"columnheader\">Call</th>",
      AxisCell(axis),
      "<th class=\"number\" role=\"columnheader\">Time left</th>"
      "<th class=\"number\" role=\"columnheader\">Took</th>"
      "<th class=\"number\" role=\"columnheader\">Own time</th>"
      "<th class=\"outcome\" role=\"columnheader\">Outcome</th>"
      "</tr></thead>\n<tbody role=\"rowgroup\">\n");
  for (const TimelineRow& row : timeline.rows) {
    absl::StrAppend(&html, Row(row, axis));
  }
  absl::StrAppend(&html, "</tbody></table>\n<ul class=\"legend\">\n");
  constexpr std::pair<const char*, const char*> kBars[] = {
      {"own", "its own time"},      {"wait", "waiting for its calls"},
      {"way", "on the way"},        {"lost", "no answer"},
      {"deadline", "the deadline"}, {"end", "the deadline of that call"},
  };
  for (const auto& [type, meaning] : kBars) {
    if (absl::StrContains(html, absl::StrCat("<i class=\"", type, "\""))) {
      absl::StrAppend(&html, LegendItem(type, meaning));
    }
  }
  absl::StrAppend(&html, "</ul>\n</section>\n");
  return html;
}

// The lines at the axis' ticks, as the background of all lanes.
std::string Grid(const Axis& axis) {
  std::vector<std::string> images;
  std::vector<std::string> positions;
  for (const int64_t tick : axis.Ticks()) {
    images.push_back("linear-gradient(var(--grid),var(--grid))");
    positions.push_back(absl::StrCat(axis.Percent(tick), " 0"));
  }
  return absl::StrFormat(
      ".lane{background-image:%s;background-size:1px 100%%;"
      "background-position:%s}\n",
      absl::StrJoin(images, ","), absl::StrJoin(positions, ","));
}

}  // namespace

std::string HtmlPage(const DemoStory& story) {
  const Axis axis(story.timeline);
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
      "'none'; style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n",
      absl::StrFormat("<title>Order %s: %s</title>\n",
                      EscapeHtml(story.order_id), OutcomeOf(story.result)),
      "<style>", kHtmlStyle, Grid(axis), "</style>\n</head>\n<body>\n<main>\n",
      Header(story), TimelineCard(story.timeline, axis),
      "<footer>Time left is what a hop had when the request arrived. "
      "Its own time is what it took apart from its calls. Where hosts have "
      "clocks of their own, a hop stands in the middle of its call."
      "</footer>\n"
      "</main>\n</body>\n</html>\n");
}

std::string EscapeHtml(absl::string_view text) {
  std::string html;
  html.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += (c >= 0 && c < 0x20) || c == 0x7f ? ' ' : c;
    }
  }
  return html;
}

}  // namespace shop
