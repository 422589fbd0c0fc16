#include "services/demo/waterfall.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace shop {
namespace {

constexpr int kNameColumns = 15;
constexpr int kBarColumns = 36;
constexpr int kTimeColumns = 13;

std::string OutcomeOf(const v1::DemoResult& result) {
  return absl::AsciiStrToLower(absl::StatusCodeToString(
      static_cast<absl::StatusCode>(result.status_code())));
}

std::string Colored(absl::string_view outcome, bool color) {
  if (!color) return std::string(outcome);
  const char* code = outcome == "ok"      ? "32"   // green
                     : outcome == "error" ? "31"   // red
                                          : "33";  // yellow
  return absl::StrFormat("\x1b[%sm%s\x1b[0m", code, outcome);
}

std::string FormatMs(double ms) {
  return ms < 10'000 ? absl::StrFormat("%.1f ms", ms)
                     : absl::StrFormat("%.1f s", ms / 1000);
}

std::string Repeat(absl::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) absl::StrAppend(&result, text);
  return result;
}

// Of kBarColumns columns. Even the shortest hop shows.
std::string Bar(double from_ms, double to_ms, double axis_ms) {
  const auto column = [axis_ms](double ms) {
    return static_cast<int>(std::lround(ms / axis_ms * kBarColumns));
  };
  const int begin = std::clamp(column(from_ms), 0, kBarColumns - 1);
  const int end = std::clamp(column(to_ms), begin + 1, kBarColumns);
  return absl::StrCat(Repeat(" ", begin), Repeat("█", end - begin),
                      Repeat(" ", kBarColumns - end));
}

std::string HopLine(const v1::HopEvent& hop, int depth, double from_ms,
                    double axis_ms, bool color) {
  const std::string left = hop.has_remaining_ms_on_arrival()
                               ? FormatMs(hop.remaining_ms_on_arrival())
                               : "no limit";
  return absl::StrFormat(
      "%-*s %s%*s%*s  %s\n", kNameColumns,
      absl::StrCat(Repeat("  ", depth), hop.service()),
      Bar(from_ms, from_ms + hop.elapsed_ms(), axis_ms), kTimeColumns, left,
      kTimeColumns, FormatMs(hop.elapsed_ms()), Colored(hop.outcome(), color));
}

// ", and every hop stopped", if that is so.
std::string WhatTheHopsDid(const DemoStory& story) {
  const std::string outcome = OutcomeOf(story.result);
  const auto& hops = story.result.hops();
  if (hops.empty()) return " before the request had reached any hop";
  if (hops.size() < story.expected_hops) {
    return absl::StrFormat("; only %d of %d hops told how they ended",
                           hops.size(), story.expected_hops);
  }
  const bool all = std::all_of(
      hops.begin(), hops.end(),
      [&](const v1::HopEvent& hop) { return hop.outcome() == outcome; });
  return all ? ", and every hop stopped" : ", and the hops ended as shown";
}

// " with 3 positions", for a stream.
std::string Watched(const DemoStory& story) {
  if (!story.track) return "";
  const int positions = story.result.positions();
  return absl::StrFormat(" with %d position%s", positions,
                         positions == 1 ? "" : "s");
}

}  // namespace

std::string Waterfall(const DemoStory& story, bool color) {
  const v1::DemoResult& result = story.result;
  double axis_ms = std::max(result.elapsed_ms(), 0.001);
  for (const v1::HopEvent& hop : result.hops()) {
    axis_ms = std::max(axis_ms,
                       hop.started_ms() - story.started_ms + hop.elapsed_ms());
  }
  std::string text = absl::StrFormat(
      "order %s  trace %s  deadline %s  %s in %s\n", story.order_id,
      result.trace_id(), absl::FormatDuration(story.deadline),
      Colored(OutcomeOf(result), color), FormatMs(result.elapsed_ms()));
  const std::string end = FormatMs(axis_ms);
  absl::StrAppendFormat(&text, "%-*s %-*s%s%*s%*s  %s\n", kNameColumns, "hop",
                        kBarColumns - static_cast<int>(end.size()), "0 ms", end,
                        kTimeColumns, "time left", kTimeColumns, "time spent",
                        "outcome");
  int depth = 0;
  for (const v1::HopEvent& hop : result.hops()) {
    absl::StrAppend(&text,
                    HopLine(hop, depth++, hop.started_ms() - story.started_ms,
                            axis_ms, color));
  }
  return text;
}

std::string Sentence(const DemoStory& story) {
  const v1::DemoResult& result = story.result;
  const std::string late =
      absl::StrCat("inventory did not answer within ",
                   absl::FormatDuration(story.inventory_timeout));
  switch (static_cast<absl::StatusCode>(result.status_code())) {
    case absl::StatusCode::kOk:
      return result.fallback()
                 ? absl::StrCat(late, "; orders answered with default stock.")
                 : absl::StrCat(
                       "Every hop answered in time: ", story.availability, ".");
    case absl::StatusCode::kDeadlineExceeded:
      if (story.inventory_timeout < story.deadline &&
          result.elapsed_ms() < absl::ToDoubleMilliseconds(story.deadline)) {
        return absl::StrCat(late, "; without a fallback the error went up.");
      }
      return absl::StrCat("The deadline of ",
                          absl::FormatDuration(story.deadline), " passed",
                          Watched(story), WhatTheHopsDid(story), ".");
    case absl::StatusCode::kCancelled:
      return absl::StrCat("The client left after ",
                          story.cancel_after
                              ? absl::FormatDuration(*story.cancel_after)
                              : FormatMs(result.elapsed_ms()),
                          Watched(story), WhatTheHopsDid(story), ".");
    default:
      return absl::StrCat("The call failed: ", result.status_message(), ".");
  }
}

}  // namespace shop
