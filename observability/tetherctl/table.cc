// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/table.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "observability/tetherctl/text.h"

namespace tether::ctl {
namespace {

constexpr int kMinWidth = 80;
constexpr int kTraceWidth = 32;

constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

int64_t LeftOrMax(const Row& row) {
  return row.time_left_us().value_or(kNoDeadline);
}

// The share of its time that a request has left, from 0 to 1.
double ShareLeft(const Row& row) {
  const int64_t left = row.time_left_us().value_or(0);
  if (left <= 0) return 0;
  const int64_t age = std::max<int64_t>(row.age_us(), 0);
  return static_cast<double>(left) / static_cast<double>(left + age);
}

Style StyleOf(const Row& row) {
  if (row.ended_by() != v1::END_REASON_UNSPECIFIED) return Style::kOver;
  const std::optional<int64_t> left = row.time_left_us();
  if (!left.has_value()) return Style::kDim;
  if (*left <= 0) return Style::kOver;
  return ShareLeft(row) < 0.2 ? Style::kLittle : Style::kGood;
}

std::string Bar(const Row& row, int width, const Glyphs& glyphs) {
  if (!row.time_left_us().has_value()) return Left("", width);
  int full = static_cast<int>(ShareLeft(row) * width + 0.5);
  // An empty bar means that no time is left.
  if (full == 0 && LeftOrMax(row) > 0) full = 1;
  std::string bar;
  for (int i = 0; i < width; ++i) {
    bar += i < full ? glyphs.full : glyphs.empty;
  }
  return bar;
}

// What a row waits for: how many calls, and the first one, the longest form
// first.
struct Waits {
  std::string count;               // "3: ", or "" for one
  std::vector<std::string> forms;  // none: it waits for nothing
};

Waits WaitsOf(const Row& row) {
  // The row of a call has its method in another column.
  if (row.call != nullptr) return {"", {AddressOf(row.call->target())}};
  const int64_t calls = WaitsCount(row);
  if (calls == 0) return {};
  if (row.request->waits_for_size() == 0) return {"", {Count(calls, "call")}};
  const v1::InFlightCall& call = row.request->waits_for(0);
  const std::string address = AddressOf(call.target());
  const std::string method = WithoutPackage(call.method());
  Waits waits;
  if (calls > 1) waits.count = absl::StrCat(calls, ": ");
  if (address.empty()) {
    waits.forms = {method};
  } else if (method.empty()) {
    waits.forms = {address};
  } else {
    waits.forms = {absl::StrCat(method, " at ", address), address};
  }
  return waits;
}

// The most columns that a row's need counts for.
constexpr int kMostNeeded = 60;

// The columns that rows need.
struct Needs {
  int state = 0;
  int method = 0;        // without packages
  int whole_method = 0;  // with packages
  int process = 0;
  int address = 0;  // of what is waited for
  int waits = 0;    // with the method
};

std::string WholeMethod(const std::string& method) {
  return method.substr(method.empty() || method.front() != '/' ? 0 : 1);
}

Needs NeedsOf(const std::vector<Row>& rows) {
  Needs needs;
  const auto need = [](int& column, const std::string& text) {
    column =
        std::max(column, std::min(static_cast<int>(text.size()), kMostNeeded));
  };
  for (const Row& row : rows) {
    need(needs.state, StateText(row, kMostNeeded));
    need(needs.method, WithoutPackage(row.method()));
    need(needs.whole_method, WholeMethod(row.method()));
    need(needs.process, row.process);
    if (const Waits waits = WaitsOf(row); !waits.forms.empty()) {
      need(needs.waits, waits.count + waits.forms.front());
      need(needs.address, waits.count + waits.forms.back());
    }
  }
  return needs;
}

bool Matches(const std::string& method, const std::string& trace_id,
             std::string_view filter) {
  return method.find(filter) != std::string::npos ||
         trace_id.find(filter) != std::string::npos;
}

}  // namespace

std::string TextOf(const Line& line) {
  std::string text;
  for (const Piece& piece : line) text += piece.text;
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

const std::string& Row::method() const {
  return request != nullptr ? request->method() : call->method();
}

const std::string& Row::trace_id() const {
  return request != nullptr ? request->trace_id() : call->trace_id();
}

int64_t Row::age_us() const {
  return request != nullptr ? request->age_us() : call->age_us();
}

std::optional<int64_t> Row::time_left_us() const {
  if (request != nullptr) {
    if (!request->has_time_left_us()) return std::nullopt;
    return request->time_left_us();
  }
  if (!call->has_time_left_us()) return std::nullopt;
  return call->time_left_us();
}

v1::EndReason Row::ended_by() const {
  return request != nullptr ? request->ended_by() : call->ended_by();
}

std::vector<std::string> ProcessLabels(const Snapshots& snapshots) {
  std::map<std::string, int> names;
  for (const ProcessSnapshot& process : snapshots.processes()) {
    ++names[process.snapshot().process()];
  }
  std::vector<std::string> labels;
  for (const ProcessSnapshot& process : snapshots.processes()) {
    const std::string& name = process.snapshot().process();
    labels.push_back(name.empty() ? process.address()
                     : names[name] == 1
                         ? name
                         : absl::StrCat(name, "@", process.address()));
  }
  return labels;
}

std::optional<SortKey> SortKeyNamed(std::string_view name) {
  for (const SortKey key : {SortKey::kTimeLeft, SortKey::kAge, SortKey::kMethod,
                            SortKey::kProcess}) {
    if (NameOf(key) == name) return key;
  }
  return std::nullopt;
}

std::string_view NameOf(SortKey key) {
  switch (key) {
    case SortKey::kTimeLeft:
      return "left";
    case SortKey::kAge:
      return "age";
    case SortKey::kMethod:
      return "method";
    case SortKey::kProcess:
      return "process";
  }
  return "";
}

std::vector<Row> MakeRows(const Snapshots& snapshots, std::string_view filter,
                          Order order) {
  std::vector<Row> rows;
  const std::vector<std::string> labels = ProcessLabels(snapshots);
  for (int i = 0; i < snapshots.processes_size(); ++i) {
    const std::string& address = snapshots.processes(i).address();
    const v1::Snapshot& snapshot = snapshots.processes(i).snapshot();
    for (const v1::InFlightRequest& request : snapshot.requests()) {
      if (Matches(request.method(), request.trace_id(), filter)) {
        rows.push_back({&request, nullptr, labels[i], address});
      }
    }
    for (const v1::InFlightCall& call : snapshot.other_calls()) {
      if (Matches(call.method(), call.trace_id(), filter)) {
        rows.push_back({nullptr, &call, labels[i], address});
      }
    }
  }
  const auto name = [&order](const Row& row) -> std::string_view {
    if (order.key == SortKey::kMethod) return row.method();
    if (order.key == SortKey::kProcess) return row.process;
    return "";
  };
  const auto age = [&order](const Row& row) {
    return order.key == SortKey::kAge ? -row.age_us() : 0;
  };
  std::stable_sort(
      rows.begin(), rows.end(), [&](const Row& first, const Row& second) {
        const Row& a = order.reversed ? second : first;
        const Row& b = order.reversed ? first : second;
        return std::tuple(name(a), age(a), LeftOrMax(a), -a.age_us()) <
               std::tuple(name(b), age(b), LeftOrMax(b), -b.age_us());
      });
  return rows;
}

Columns ColumnsFor(const std::vector<Row>& rows, int width, int trace_from) {
  Columns columns;
  const auto bare = columns;
  // The two times, the other columns, and the spaces between them.
  int rest = std::max(width, kMinWidth) - 2 * kTimeWidth - bare.bar -
             bare.state - bare.method - bare.process - bare.waits - 6;
  if (width >= trace_from) {
    columns.trace = kTraceWidth;
    rest -= kTraceWidth + 1;
  }
  const Needs needs = NeedsOf(rows);
  // Gives each column as much as it needs, in turn while there is room.
  const auto grow = [&rest](std::initializer_list<std::pair<int*, int>> wants) {
    for (bool grows = true; grows;) {
      grows = false;
      for (const auto& [column, want] : wants) {
        if (rest <= 0 || *column >= want) continue;
        ++*column;
        --rest;
        grows = true;
      }
    }
  };
  grow({{&columns.method, needs.method},
        {&columns.process, needs.process},
        {&columns.waits, needs.address}});
  grow({{&columns.waits, needs.waits}});
  grow({{&columns.state, needs.state}});
  if (needs.whole_method - columns.method <= rest) {
    grow({{&columns.method, needs.whole_method}});
    columns.has_packages = true;
  }
  grow({{&columns.bar, 10}});
  return columns;
}

Line HeadingLine(const Columns& columns) {
  std::string text = absl::StrCat(
      Right("LEFT", kTimeWidth), " ", Left("", columns.bar), " ",
      Right("AGE", kTimeWidth), " ", Left("STATE", columns.state), " ",
      Left("METHOD", columns.method), " ", Left("PROCESS", columns.process),
      " ", Left("WAITS FOR", columns.waits));
  if (columns.trace > 0) {
    absl::StrAppend(&text, " ", Left("TRACE", columns.trace));
  }
  return {{text, Style::kHeading}};
}

Line RowLine(const Row& row, const Columns& columns, const Glyphs& glyphs) {
  const Style style = StyleOf(row);
  Line line;
  line.push_back({Right(ShortTime(row.time_left_us()), kTimeWidth), style});
  line.push_back({" ", Style::kPlain});
  line.push_back({Bar(row, columns.bar, glyphs), style});
  line.push_back(
      {absl::StrCat(" ", Right(ShortTime(row.age_us()), kTimeWidth), " "),
       Style::kPlain});
  line.push_back({Left(StateText(row, columns.state), columns.state),
                  row.ended_by() != v1::END_REASON_UNSPECIFIED
                      ? Style::kOver
                      : Style::kPlain});
  const std::string method = columns.has_packages
                                 ? WholeMethod(row.method())
                                 : WithoutPackage(row.method());
  line.push_back(
      {absl::StrCat(
           " ", Left(ShortenMiddle(method, columns.method), columns.method),
           " ",
           Left(ShortenMiddle(row.process, columns.process), columns.process),
           " ", Left(WaitsText(row, columns.waits), columns.waits)),
       Style::kPlain});
  if (columns.trace > 0) {
    line.push_back(
        {absl::StrCat(" ", Left(row.trace_id(), columns.trace)), Style::kDim});
  }
  return line;
}

int64_t WaitsCount(const Row& row) {
  if (row.request == nullptr) return 0;
  // A process that lists calls may not know how many there are.
  return std::max<int64_t>(row.request->waits_for_total(),
                           row.request->waits_for_size());
}

std::string WaitsText(const Row& row, int width) {
  const Waits waits = WaitsOf(row);
  if (waits.forms.empty()) return "";
  return waits.count +
         FirstThatFits(waits.forms,
                       width - static_cast<int>(waits.count.size()));
}

std::string StateText(const Row& row, int width) {
  if (row.ended_by() == v1::END_REASON_UNSPECIFIED) {
    if (row.request == nullptr) return "calling";
    return WaitsCount(row) > 0 ? "waiting" : "running";
  }
  const std::string reason = ShortReason(row.ended_by());
  if (row.request == nullptr || !row.request->has_ended_ago_us()) return reason;
  const std::string with_time =
      absl::StrCat(reason, " ", ShortTime(row.request->ended_ago_us()));
  return static_cast<int>(with_time.size()) <= width ? with_time : reason;
}

}  // namespace tether::ctl
