// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/blame.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tether/budget/internal/call_spans.h"
#include "tether/budget/internal/names.h"
#include "tether/budget/time_span.h"
#include "tether/budget/timeline.h"

namespace tether {
namespace {

using internal::CallSpan;
using internal::ClampTime;

constexpr int kMaxDepth = 64;
constexpr int kDeadlineExceeded = 4;

enum class Part {
  kHop,              // its own time
  kNetwork,          // to a service
  kEarlierAttempts,  // of a method, by gRPC
  kCallsLeftOut,     // of a hop
};

// A call's share of its entry.
struct Share {
  int64_t us = 0;  // on the critical path
  bool unanswered = false;
  bool without_report = false;
  bool report_left_out = false;
};

// All calls to one method with one label.
struct Entry {
  Part part = Part::kHop;
  std::string_view service;
  std::string_view method;
  std::string_view label;
  int64_t us = 0;          // on the critical path
  int64_t longest_us = 0;  // of the unanswered calls, on it or not
  std::vector<Share> shares;

  // The calls that are counted. Parallel calls end at about the same moment, in
  // any order, so a share of less than a hundredth of the largest is chance.
  std::vector<Share> counted() const {
    int64_t largest = 0;
    for (const Share& share : shares) largest = std::max(largest, share.us);
    std::vector<Share> kept;
    for (const Share& share : shares) {
      if (share.unanswered || (share.us > 0 && share.us >= largest / 100)) {
        kept.push_back(share);
      }
    }
    return kept;
  }

  // True if it represents unanswered calls off the critical path.
  bool parallel() const { return longest_us / 2 > us; }
  int64_t shown_us() const { return parallel() ? longest_us : us; }
};

// Attributes each moment of a call to one entry.
class Attribution {
 public:
  std::vector<Entry> Of(const v1::CallReport& call) && {
    const int64_t length = internal::CallTime(call);
    AddCall(call, length, {0, length}, 0);
    return std::move(entries_);
  }

 private:
  Entry& EntryOf(Part part, std::string_view service, std::string_view method,
                 std::string_view label) {
    const auto [found, is_new] =
        index_.try_emplace({part, service, method, label}, entries_.size());
    if (is_new) {
      Entry& entry = entries_.emplace_back();
      entry.part = part;
      entry.service = service;
      entry.method = method;
      entry.label = label;
    }
    return entries_[found->second];
  }

  // Adds a call that took `length_us`, of which `us` are its own.
  void AddShare(const v1::CallReport& call, int64_t length_us, int64_t us,
                bool without_report) {
    Entry& entry =
        EntryOf(Part::kHop, call.service(), call.method(), call.label());
    Share share;
    share.us = us;
    if (!internal::Answered(call)) {
      share.unanswered = true;
      entry.longest_us = std::max(entry.longest_us, length_us);
    } else if (call.report_left_out()) {
      share.report_left_out = true;
    } else {
      share.without_report = without_report;
    }
    entry.us += us;
    entry.shares.push_back(share);
  }

  // Attributes the part `window` of `call`, which took `length_us`. `window` is
  // relative to the call's begin.
  void AddCall(const v1::CallReport& call, int64_t length_us, TimeSpan window,
               int depth) {
    if (!call.has_report() || depth >= kMaxDepth) {
      AddShare(call, length_us, window.length_us(),
               /*without_report=*/!call.has_report());
      return;
    }
    const v1::BudgetReport& report = call.report();
    const int64_t total = internal::HopTimeWithin(report, length_us);
    // The clocks of hosts differ, so assume that both ways took equally long.
    const int64_t begin = (length_us - total) / 2;
    const TimeSpan inside{
        std::clamp(window.begin_us - begin, int64_t{0}, total),
        std::clamp(window.end_us - begin, int64_t{0}, total)};
    const int64_t outside = window.length_us() - inside.length_us();
    if (internal::IsOfHopBelow(call)) {
      AddShare(call, length_us, outside, /*without_report=*/true);
      const int64_t own = AddHop(report.service(), report.method(), report,
                                 total, inside, depth);
      Entry& below = EntryOf(Part::kHop, report.service(), report.method(), "");
      below.us += own;
      below.shares.push_back({own});
      return;
    }
    if (report.previous_attempts() > 0) {
      EntryOf(Part::kEarlierAttempts, call.service(), call.method(),
              call.label())
          .us += outside;
    } else {
      EntryOf(Part::kNetwork, call.service(), "", call.label()).us += outside;
    }
    const int64_t own =
        AddHop(call.service(), call.method(), report, total, inside, depth);
    AddShare(call, length_us, own, /*without_report=*/false);
  }

  // Attributes the part `window` of the hop of `report`. `window` is relative
  // to the hop's arrival. Returns how much of it was the hop's own time.
  int64_t AddHop(std::string_view service, std::string_view method,
                 const v1::BudgetReport& report, int64_t total, TimeSpan window,
                 int depth) {
    std::vector<CallSpan> calls = internal::SpansOf(report, total);
    const std::vector<TimeSpan> waits = internal::UnionOf(calls);

    // Go backwards from the end: first the call that ended last, then the call
    // that ended last among those that began before it, and so on.
    std::stable_sort(calls.begin(), calls.end(),
                     [](const CallSpan& a, const CallSpan& b) {
                       return a.span.end_us > b.span.end_us;
                     });
    int64_t own = 0;
    int64_t at = window.end_us;
    for (const CallSpan& other : calls) {
      const int64_t begin = std::max(other.span.begin_us, window.begin_us);
      const int64_t end = std::min(other.span.end_us, at);
      if (begin >= end) {
        if (!internal::Answered(*other.call)) {
          AddShare(*other.call, other.span.length_us(), 0,
                   /*without_report=*/false);
        }
        continue;
      }
      own += at - end;
      AddCall(*other.call, other.span.length_us(),
              {begin - other.span.begin_us, end - other.span.begin_us},
              depth + 1);
      at = begin;
    }
    own += at - window.begin_us;

    // The hop may have reported that a part of the time between the calls
    // belongs to other calls. It is not known when they ran.
    int64_t between = total;
    for (const TimeSpan& wait : waits) between -= wait.length_us();
    const int64_t self = internal::OwnTime(report, total, waits);
    if (self < between) {
      const auto share =
          static_cast<double>(self) / static_cast<double>(between);
      const auto kept = static_cast<int64_t>(static_cast<double>(own) * share);
      EntryOf(Part::kCallsLeftOut, service, method, "").us += own - kept;
      own = kept;
    }
    return own;
  }

  std::vector<Entry> entries_;
  std::map<
      std::tuple<Part, std::string_view, std::string_view, std::string_view>,
      size_t>
      index_;
};

std::string FormatTime(int64_t us) {
  const double ms = static_cast<double>(us) / 1e3;
  if (ms < 0.05) return "0ms";
  if (ms < 0.95) return absl::StrFormat("%.1fms", ms);
  if (ms < 999.5) return absl::StrFormat("%.0fms", ms);
  return ms < 999.5e3 ? absl::StrFormat("%.3gs", ms / 1e3)
                      : absl::StrFormat("%.0fs", ms / 1e3);
}

// A timeout that a hop gave to one of its calls.
struct HopTimeout {
  const v1::CallReport* hop;   // whose call it was
  const v1::CallReport* call;  // which had it
};

// The timeout whose end `call` reports: that of the hop, or of a hop behind it,
// that gave a call less time than it had, and passed its DEADLINE_EXCEEDED on.
std::optional<HopTimeout> PassedTimeout(const v1::CallReport& call, int depth) {
  if (depth >= kMaxDepth || call.report().outcome() != kDeadlineExceeded) {
    return std::nullopt;
  }
  const v1::CallReport* last = nullptr;
  int64_t end_us = -1;
  for (const v1::CallReport& below : call.report().calls()) {
    if (below.outcome() != kDeadlineExceeded) continue;
    const int64_t us = ClampTime(below.start_us()) + internal::CallTime(below);
    if (us <= end_us) continue;
    last = &below;
    end_us = us;
  }
  if (last == nullptr) return std::nullopt;
  if (last->reason() == v1::END_REASON_OWN_TIMEOUT) {
    if (!last->has_time_left_us()) return std::nullopt;
    return HopTimeout{&call, last};
  }
  return PassedTimeout(*last, depth + 1);
}

// The time that the call had, as far as it is known.
std::string TotalOf(const v1::CallReport& call) {
  const int64_t took = ClampTime(call.duration_us());
  std::vector<std::string> notes;
  if (call.has_time_left_us()) {
    const int64_t limit = ClampTime(call.time_left_us());
    // Replies are sent shortly before the deadline, and calls end shortly
    // after.
    if (took >= limit / 10 * 8 && took <= limit / 10 * 11 + 5000) {
      return FormatTime(limit);
    }
    notes.push_back(absl::StrCat("deadline ", FormatTime(limit)));
  }
  if (const auto timeout = PassedTimeout(call, 0)) {
    const bool is_below = internal::IsOfHopBelow(*timeout->hop);
    const v1::BudgetReport& report = timeout->hop->report();
    notes.push_back(absl::StrCat(
        is_below ? HopName(report.service(), report.method())
                 : HopName(timeout->hop->service(), timeout->hop->method()),
        " allowed ", FormatTime(ClampTime(timeout->call->time_left_us()))));
  }
  if (notes.empty()) return FormatTime(took);
  return absl::StrCat(FormatTime(took), " (", absl::StrJoin(notes, ", "), ")");
}

std::string TextOfHop(const Entry& entry) {
  const std::vector<Share> calls = entry.counted();
  const auto count = [&calls](bool Share::*is) {
    return std::count_if(calls.begin(), calls.end(),
                         [is](const Share& share) { return share.*is; });
  };
  const auto all = static_cast<std::ptrdiff_t>(calls.size());
  const auto unanswered = count(&Share::unanswered);
  std::vector<std::string> notes;
  if (all > 1) notes.push_back(absl::StrCat(all, " calls"));
  if (unanswered > 0) {
    notes.push_back(all == 1 ? "did not answer"
                    : unanswered == all
                        ? "none answered"
                        : absl::StrCat(unanswered, " did not answer"));
  }
  if (count(&Share::report_left_out) > 0) notes.push_back("with its calls");
  return absl::StrCat(
      HopName(entry.service, entry.method),
      internal::LabelInBrackets(entry.label),
      count(&Share::without_report) > 0 ? " or the network to it " : " ",
      FormatTime(entry.shown_us()), entry.parallel() ? " in parallel" : "",
      notes.empty() ? "" : absl::StrCat(" (", absl::StrJoin(notes, ", "), ")"));
}

std::string TextOf(const Entry& entry) {
  switch (entry.part) {
    case Part::kHop:
      return TextOfHop(entry);
    case Part::kNetwork:
      return absl::StrCat("network to ", ServiceName(entry.service),
                          internal::LabelInBrackets(entry.label), " ",
                          FormatTime(entry.us));
    case Part::kEarlierAttempts:
      return absl::StrCat(
          "earlier attempts of ", HopName(entry.service, entry.method),
          internal::LabelInBrackets(entry.label), " ", FormatTime(entry.us));
    case Part::kCallsLeftOut:
      return absl::StrCat("other calls of ",
                          HopName(entry.service, entry.method), " ",
                          FormatTime(entry.us));
  }
  return "";
}

// Returns the entries worth naming, in the order in which they are named.
std::vector<Entry> Ranked(std::vector<Entry> entries, int64_t total_us) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) {
                     if (a.shown_us() != b.shown_us()) {
                       return a.shown_us() > b.shown_us();
                     }
                     return a.parallel() < b.parallel();
                   });
  std::vector<Entry> ranked;
  for (const Entry& entry : entries) {
    if (entry.shown_us() <= 0) continue;
    const bool is_way =
        entry.part == Part::kNetwork || entry.part == Part::kEarlierAttempts;
    if (is_way && !ranked.empty() && entry.us < total_us / 10) continue;
    ranked.push_back(entry);
  }
  return ranked;
}

}  // namespace

std::string BlameDeadline(const v1::CallReport& call,
                          const BlameLimits& limits) {
  std::string text = absl::StrCat("deadline exceeded: ", TotalOf(call));
  const std::vector<Entry> entries =
      Ranked(Attribution().Of(call), internal::CallTime(call));
  const size_t max_named = static_cast<size_t>(std::max(limits.max_entries, 0));
  for (size_t i = 0; i < entries.size(); ++i) {
    const size_t left = entries.size() - i;
    const std::string entry =
        absl::StrCat(i == 0 ? ", of which " : ", ", TextOf(entries[i]));
    const std::string more =
        left > 1 ? absl::StrCat(", and ", left - 1, " more") : "";
    if (i >= max_named ||
        text.size() + entry.size() + more.size() > limits.max_bytes) {
      if (i > 0) absl::StrAppend(&text, ", and ", left, " more");
      break;
    }
    absl::StrAppend(&text, entry);
  }
  return text;
}

}  // namespace tether
