// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/explain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tether {
namespace {

constexpr int kMinNameColumns = 15;
constexpr int kMaxNameColumns = 36;
constexpr int kMaxIndent = 16;
constexpr int kBarColumns = 32;
constexpr int kTimeColumns = 11;

// The meaning of a column of a bar.
enum Kind { kNothing, kOwn, kWait, kWay, kNoAnswer, kKinds };
constexpr std::array<const char*, kKinds> kSigns = {" ", "█", "▒", "·", "?"};
constexpr std::array<const char*, kKinds> kMeanings = {
    "", "its own time", "waiting for its calls", "on the way", "no answer"};

std::string ColumnTime(int64_t us) {
  const auto value = static_cast<double>(us);
  if (us < 10'000'000) return absl::StrFormat("%.1f ms", value / 1e3);
  if (us < 36'000'000'000) return absl::StrFormat("%.1f s", value / 1e6);
  return absl::StrFormat("%.1f h", value / 3.6e9);
}

int64_t Overlap(TimeSpan a, TimeSpan b) {
  return std::max<int64_t>(
      0, std::min(a.end_us, b.end_us) - std::max(a.begin_us, b.begin_us));
}

// Returns what `row` did for most of `span`.
Kind KindOf(const TimelineRow& row, TimeSpan span) {
  if (!row.answered) return kNoAnswer;
  if (!row.hop) return kOwn;
  const int64_t call = Overlap(span, row.call);
  const int64_t hop = Overlap(span, *row.hop);
  int64_t wait = 0;
  for (const TimeSpan& w : row.waits) wait += Overlap(span, w);
  const int64_t own = hop - wait;
  if (own >= wait && own >= call - hop) return kOwn;
  return wait >= call - hop ? kWait : kWay;
}

// Returns the column of time `us`.
int ColumnOf(int64_t us, int64_t end_us) {
  // In floating point, because the product may overflow an integer.
  return static_cast<int>(std::lround(
      static_cast<double>(us) / static_cast<double>(end_us) * kBarColumns));
}

std::array<Kind, kBarColumns> BarOf(const TimelineRow& row, int64_t end_us) {
  std::array<Kind, kBarColumns> bar;
  bar.fill(kNothing);
  // Even the shortest call is visible.
  const int begin =
      std::clamp(ColumnOf(row.call.begin_us, end_us), 0, kBarColumns - 1);
  const int end =
      std::clamp(ColumnOf(row.call.end_us, end_us), begin + 1, kBarColumns);
  const auto boundary = [end_us](int column) {
    return static_cast<int64_t>(static_cast<double>(end_us) * column /
                                kBarColumns);
  };
  for (int i = begin; i < end; ++i) {
    bar[static_cast<size_t>(i)] =
        KindOf(row, end - begin == 1 ? row.call
                                     : TimeSpan{boundary(i), boundary(i + 1)});
  }
  return bar;
}

// Returns the indented name of `row`, padded or cut to `columns`.
std::string NameOf(const TimelineRow& row, int columns) {
  const int indent = std::min(2 * row.depth, kMaxIndent);
  std::string name(static_cast<size_t>(indent), ' ');
  const auto space = static_cast<size_t>(columns - indent);
  if (row.name.size() <= space) {
    absl::StrAppend(&name, row.name, std::string(space - row.name.size(), ' '));
  } else {
    absl::StrAppend(&name, "~", row.name.substr(row.name.size() - space + 1));
  }
  return name;
}

// Returns the terminal colour for a gRPC status code.
const char* ColorOf(int code) {
  switch (static_cast<absl::StatusCode>(code)) {
    case absl::StatusCode::kOk:
      return "32";  // green
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return "33";  // yellow
    default:
      return "31";  // red
  }
}

std::string OutcomeOf(const TimelineRow& row, const ExplainOptions& options) {
  std::string text = row.outcome;
  if (options.color) {
    text = absl::StrCat("\x1b[", ColorOf(row.code), "m", text, "\x1b[0m");
  }
  std::vector<std::string> more;
  if (!row.reason.empty()) more.push_back(row.reason);
  more.insert(more.end(), row.notes.begin(), row.notes.end());
  const std::string address = absl::StrCat("at ", row.address);
  if (options.addresses && !row.address.empty() &&
      std::find(more.begin(), more.end(), address) == more.end()) {
    more.push_back(address);
  }
  if (!more.empty()) {
    absl::StrAppend(&text, " (", absl::StrJoin(more, ", "), ")");
  }
  return text;
}

}  // namespace

std::string Explain(const v1::CallReport& call, const ExplainOptions& options) {
  // The channel has no interceptor of tether, for example.
  if (call.ByteSizeLong() == 0) return "there is no report of this call\n";
  return ExplainTimeline(MakeTimeline(call), options);
}

std::string ExplainTimeline(const Timeline& timeline,
                            const ExplainOptions& options) {
  int name_columns = kMinNameColumns;
  for (const TimelineRow& row : timeline.rows) {
    const int indent = std::min(2 * row.depth, kMaxIndent);
    name_columns =
        std::max(name_columns, indent + static_cast<int>(row.name.size()));
  }
  name_columns = std::min(name_columns, kMaxNameColumns);

  const int64_t end_us = std::max<int64_t>(timeline.end_us, 1);
  const std::string end = ColumnTime(end_us);
  std::string text = absl::StrFormat(
      "%-*s %-*s%s%*s%*s  %s\n", name_columns, "hop",
      kBarColumns - static_cast<int>(end.size()), "0 ms", end, kTimeColumns,
      "time left", kTimeColumns, "own time", "outcome");
  std::array<bool, kKinds> used = {};
  for (const TimelineRow& row : timeline.rows) {
    absl::StrAppend(&text, NameOf(row, name_columns), " ");
    for (const Kind kind : BarOf(row, end_us)) {
      absl::StrAppend(&text, kSigns[kind]);
      used[kind] = true;
    }
    absl::StrAppendFormat(
        &text, "%*s%*s  %s\n", kTimeColumns,
        row.time_left_us ? ColumnTime(*row.time_left_us) : "no limit",
        kTimeColumns, ColumnTime(row.own_us), OutcomeOf(row, options));
  }
  if (timeline.cut) absl::StrAppend(&text, "… and more\n");
  std::vector<std::string> legend;
  for (size_t kind = kOwn; kind < kKinds; ++kind) {
    if (used[kind]) {
      legend.push_back(absl::StrCat(kSigns[kind], " ", kMeanings[kind]));
    }
  }
  if (!legend.empty()) {
    absl::StrAppend(&text, absl::StrJoin(legend, "   "), "\n");
  }
  return text;
}

}  // namespace tether
