// SPDX-License-Identifier: Apache-2.0

#include "services/demo/story.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace shop {
namespace {

using tether::TimeSpan;

// A run of the demo is short. Longer times come from invalid input.
int64_t Micros(double ms) {
  constexpr double kMost = static_cast<double>(tether::kMaxReportTimeUs) / 1e3;
  // A NaN isn't a valid time either.
  return ms > 0 ? std::llround(std::min(ms, kMost) * 1e3) : 0;
}

absl::StatusCode CodeOf(std::string_view outcome) {
  if (outcome == "ok") return absl::StatusCode::kOk;
  if (outcome == "cancelled") return absl::StatusCode::kCancelled;
  if (outcome == "deadline_exceeded") {
    return absl::StatusCode::kDeadlineExceeded;
  }
  return absl::StatusCode::kUnknown;
}

TimeSpan SpanOf(const v1::HopEvent& hop, double started_ms) {
  const double begin_ms = hop.started_ms() - started_ms;
  const int64_t begin_us = Micros(begin_ms);
  return {begin_us, std::max(begin_us, Micros(begin_ms + hop.elapsed_ms()))};
}

// ", and every hop stopped", if that is so.
std::string WhatTheHopsDid(const DemoStory& story) {
  const std::string outcome =
      absl::StrReplaceAll(OutcomeOf(story.result), {{" ", "_"}});
  const auto& hops = story.result.hops();
  if (hops.empty()) return " before the request had reached any hop";
  if (hops.size() < story.expected_hops) {
    return absl::StrFormat("; only %d of %d hops reported how they ended",
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

tether::Timeline TimelineOfHops(const DemoStory& story) {
  const v1::DemoResult& result = story.result;
  tether::Timeline timeline;
  timeline.end_us = std::max<int64_t>(Micros(result.elapsed_ms()), 1);
  timeline.deadline_us = Micros(absl::ToDoubleMilliseconds(story.deadline));
  for (int i = 0; i < result.hops_size(); ++i) {
    const v1::HopEvent& hop = result.hops(i);
    const TimeSpan span = SpanOf(hop, story.started_ms);
    tether::TimelineRow& row = timeline.rows.emplace_back();
    row.name = tether::HopName(hop.service(), hop.method());
    row.depth = i;
    row.call = span;
    // The client knows its own call. For other calls there are only the hops'
    // events.
    if (i == 0) row.call = {0, std::max(timeline.end_us, span.end_us)};
    row.hop = span;
    row.own_us = span.length_us();
    if (i + 1 < result.hops_size()) {
      const TimeSpan next = SpanOf(result.hops(i + 1), story.started_ms);
      const TimeSpan wait{std::max(next.begin_us, span.begin_us),
                          std::min(next.end_us, span.end_us)};
      if (wait.begin_us < wait.end_us) {
        row.waits.push_back(wait);
        row.own_us -= wait.length_us();
      }
    }
    if (hop.has_remaining_ms_on_arrival()) {
      row.time_left_us = Micros(hop.remaining_ms_on_arrival());
    }
    row.outcome = absl::StrReplaceAll(hop.outcome(), {{"_", " "}});
    row.code = static_cast<int>(CodeOf(hop.outcome()));
    row.answered = true;
  }
  for (const tether::TimelineRow& row : timeline.rows) {
    timeline.end_us = std::max(timeline.end_us, row.call.end_us);
  }
  return timeline;
}

std::string OutcomeOf(const v1::DemoResult& result) {
  return tether::OutcomeText(result.status_code());
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
        return absl::StrCat(late,
                            "; without a fallback, orders returned the error.");
      }
      // Not "passed", because the hops' reserves for their replies are left.
      return absl::StrCat("The ", absl::FormatDuration(story.deadline),
                          " until the deadline were used up", Watched(story),
                          WhatTheHopsDid(story), ".");
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

std::string Blame(const DemoStory& story) {
  const v1::DemoResult& result = story.result;
  const bool late = result.status_code() ==
                    static_cast<int>(absl::StatusCode::kDeadlineExceeded);
  return late ? result.status_message() : "";
}

std::string FormatMs(double ms) {
  return ms < 10'000 ? absl::StrFormat("%.1f ms", ms)
                     : absl::StrFormat("%.1f s", ms / 1000);
}

}  // namespace shop
