// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/view.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "observability/tetherctl/text.h"

namespace tether::ctl {
namespace {

constexpr int kTraceFrom = 150;  // columns; the details show it, too
constexpr size_t kMaxFilterSize = 200;
constexpr size_t kTraceIdDigits = 32;
constexpr int kHeightForDetails = 12;

bool IsHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

std::optional<SortKey> SortKeyOf(int key) {
  switch (key) {
    case 't':
      return SortKey::kTimeLeft;
    case 'a':
      return SortKey::kAge;
    case 'm':
      return SortKey::kMethod;
    case 's':
      return SortKey::kProcess;
    default:
      return std::nullopt;
  }
}

bool IsPrintable(int key) { return key >= 0x20 && key <= 0x7e; }

std::string_view OwnerName(v1::DeadlineOwner owner) {
  switch (owner) {
    case v1::DEADLINE_OWNER_CALLER:
      return "the caller's deadline";
    case v1::DEADLINE_OWNER_DEFAULT_TIMEOUT:
      return "the server's default timeout";
    case v1::DEADLINE_OWNER_MAX_TIMEOUT:
      return "the server's maximum time";
    case v1::DEADLINE_OWNER_BASE_CONTEXT:
      return "the server's base context";
    case v1::DEADLINE_OWNER_UNSPECIFIED:
      return "no deadline";
    default:
      // A newer process may have owners that this program doesn't know.
      return "another deadline";
  }
}

std::string_view StyleName(v1::ApiStyle style) {
  switch (style) {
    case v1::API_STYLE_SYNC:
      return "sync";
    case v1::API_STYLE_CALLBACK:
      return "callback";
    case v1::API_STYLE_ASYNC:
      return "async";
    default:
      return "unknown API";
  }
}

std::string Describe(const v1::InFlightCall& call) {
  const std::string label =
      call.label().empty() ? "" : absl::StrCat("[", call.label(), "]");
  const std::string target =
      call.target().empty() ? "" : absl::StrCat(" at ", call.target());
  return absl::StrCat(WithoutPackage(call.method()), label, target, " for ",
                      ShortTime(call.age_us()));
}

// What the request waits for; "" for nothing.
std::string DescribeWaits(const Row& row) {
  const int64_t count = WaitsCount(row);
  if (count == 0) return "";
  if (row.request->waits_for_size() == 0) {
    return absl::StrCat("waits for ", Count(count, "call"));
  }
  const std::string first = Describe(row.request->waits_for(0));
  return count == 1 ? first : absl::StrCat(first, " and ", count - 1, " more");
}

// View::Identity, without copies.
auto IdentityOf(const Row& row) {
  const bool is_request = row.request != nullptr;
  // The address, because a process's label changes when another one with the
  // same name answers.
  return std::tuple<bool, const std::string&, const std::string&,
                    const std::string&, const std::string&>(
      is_request, row.address, row.method(), row.trace_id(),
      is_request ? row.request->request_id() : row.call->target());
}

// Cut to `width` columns; for the whole width, filled with spaces.
Line Whole(const std::string& text, int width, Style style) {
  return {{Left(text, width), style}};
}

}  // namespace

View::View(v1::ListRequest list, Order order, Glyphs glyphs)
    : base_(std::move(list)), glyphs_(glyphs), order_(order) {}

void View::Update(Snapshots snapshots) {
  if (paused_) {
    after_pause_ = std::move(snapshots);
    return;
  }
  snapshots_ = std::move(snapshots);
  MakeRowsAgain();
}

void View::MakeRowsAgain() {
  rows_ = MakeRows(snapshots_, filter(), order_);
  if (const std::optional<int> row = FollowedRow()) {
    selected_ = *row;
  } else {
    Move(0);
  }
}

std::optional<int> View::FollowedRow() const {
  std::optional<int> nearest;
  if (!followed_.has_value()) return nearest;
  const int count = static_cast<int>(rows_.size());
  for (int i = 0; i < count; ++i) {
    if (IdentityOf(rows_[i]) != *followed_) continue;
    // There may be several that nothing tells apart.
    if (!nearest || std::abs(i - selected_) < std::abs(*nearest - selected_)) {
      nearest = i;
    }
  }
  return nearest;
}

bool View::OnKey(int key) {
  if (draft_.has_value()) {
    OnEditKey(key);
    return true;
  }
  if (const std::optional<SortKey> sort_key = SortKeyOf(key)) {
    order_ = {*sort_key, false};
    MakeRowsAgain();
    return true;
  }
  switch (key) {
    case 'q':
      return false;
    case '/':
      draft_ = filter_;
      break;
    case kKeyEscape:
      filter_.clear();
      MakeRowsAgain();
      break;
    case 'p':
    case ' ':
      paused_ = !paused_;
      if (!paused_ && after_pause_) {
        Update(*std::exchange(after_pause_, std::nullopt));
      }
      break;
    case 'r':
      order_.reversed = !order_.reversed;
      MakeRowsAgain();
      break;
    default:
      OnMoveKey(key);
  }
  return true;
}

void View::OnMoveKey(int key) {
  const int all = static_cast<int>(rows_.size());
  const std::map<int, int> moves = {{kKeyUp, -1},         {kKeyDown, 1},
                                    {kKeyPageUp, -page_}, {kKeyPageDown, page_},
                                    {kKeyHome, -all},     {kKeyEnd, all}};
  if (const auto move = moves.find(key); move != moves.end()) {
    Move(move->second);
  }
}

void View::OnEditKey(int key) {
  constexpr int kClear = 'U' - '@';  // Ctrl-U
  if (key == kKeyEnter) {
    filter_ = *std::exchange(draft_, std::nullopt);
  } else if (key == kKeyEscape) {
    draft_.reset();
  } else if (key == kKeyBackspace) {
    if (!draft_->empty()) draft_->pop_back();
  } else if (key == kClear) {
    draft_->clear();
  } else if (IsPrintable(key) && draft_->size() < kMaxFilterSize) {
    *draft_ += static_cast<char>(key);
  }
  MakeRowsAgain();
}

void View::Move(int rows) {
  const int last = static_cast<int>(rows_.size()) - 1;
  selected_ = std::clamp(selected_ + rows, 0, std::max(last, 0));
  followed_.reset();
  if (selected_ > 0) followed_ = IdentityOf(rows_[selected_]);
}

v1::ListRequest View::list() const {
  v1::ListRequest list = base_;
  if (filter_.size() == kTraceIdDigits && IsHex(filter_)) {
    if (list.trace_id().empty()) list.set_trace_id(filter_);
  } else if (!IsHex(filter_) && list.method_contains().empty()) {
    // Hex digits alone may be a part of a trace id, too: then only the view
    // filters.
    list.set_method_contains(filter_);
  }
  return list;
}

std::vector<Line> View::Render(int width, int height) {
  const bool has_details = height >= kHeightForDetails;
  // The title, the heading, and the line at the bottom.
  const std::vector<Line> processes =
      ProcessLines(std::max((height - 3) / 3, 1));
  const std::vector<Line> details =
      has_details ? DetailLines() : std::vector<Line>();
  page_ = std::max(height - 3 - static_cast<int>(processes.size()) -
                       static_cast<int>(details.size()),
                   1);
  const int count = static_cast<int>(rows_.size());
  first_ = std::clamp(first_, std::max(selected_ - page_ + 1, 0), selected_);
  first_ = std::min(first_, std::max(count - page_, 0));
  const int shown = std::min(page_, count - first_);

  std::vector<Line> lines;
  lines.push_back(Whole(Title(width, first_, shown), width, Style::kTitle));
  for (const Line& line : processes) {
    lines.push_back(Whole(TextOf(line), width, line.front().style));
  }
  const Columns columns = ColumnsFor(rows_, width, kTraceFrom);
  lines.push_back(Whole(TextOf(HeadingLine(columns)), width, Style::kHeading));
  for (int i = first_; i < first_ + shown; ++i) {
    Line line = RowLine(rows_[i], columns, glyphs_);
    if (i == selected_) {
      for (Piece& piece : line) piece.style = Style::kSelected;
    }
    lines.push_back(std::move(line));
  }
  if (count == 0) {
    lines.push_back(Whole(filter().empty() ? "Nothing is in flight."
                                           : "Nothing matches the filter.",
                          width, Style::kDim));
  }
  const size_t before_end = static_cast<size_t>(height) - 1 - details.size();
  if (lines.size() < before_end) lines.resize(before_end);
  for (const Line& line : details) {
    lines.push_back(Whole(TextOf(line), width, line.front().style));
  }
  lines.push_back(Whole(BottomLine(), width, Style::kTitle));
  // Too small a terminal loses the end.
  if (lines.size() > static_cast<size_t>(height)) lines.resize(height);
  return lines;
}

std::string View::Title(int width, int first, int shown) const {
  int64_t requests = 0;
  int64_t calls = 0;
  for (const ProcessSnapshot& process : snapshots_.processes()) {
    requests += process.snapshot().requests_in_flight();
    calls += process.snapshot().calls_in_flight();
  }
  std::string text =
      absl::StrCat(Count(requests, "request"), ", ", Count(calls, "call"),
                   " in ", Count(snapshots_.processes_size(), "process"));
  absl::StrAppend(
      &text, ", by ", order_.key == SortKey::kTimeLeft ? "time " : "",
      std::string(NameOf(order_.key)), order_.reversed ? " reversed" : "");
  if (!base_.method_contains().empty()) {
    absl::StrAppend(&text, ", method ", base_.method_contains());
  }
  if (!base_.trace_id().empty()) {
    absl::StrAppend(&text, ", trace ", base_.trace_id());
  }
  if (!filter_.empty()) absl::StrAppend(&text, ", filter ", filter_);
  std::string right = paused_ ? "PAUSED" : "";
  if (shown < static_cast<int>(rows_.size())) {
    right = absl::StrCat(right, paused_ ? "  " : "", "rows ", first + 1, "-",
                         first + shown, " of ", rows_.size());
  }
  const int rest = width - static_cast<int>(right.size()) - 1;
  return right.empty() ? text : absl::StrCat(Left(text, rest), " ", right);
}

std::vector<Line> View::ProcessLines(int most) const {
  std::vector<Line> lines;
  for (const ProcessSnapshot& process : snapshots_.processes()) {
    if (process.has_snapshot()) continue;
    lines.push_back(
        {{absl::StrCat(process.address(), "  ",
                       process.has_error() ? process.error() : "asked"),
          process.has_error() ? Style::kError : Style::kDim}});
  }
  const int count = static_cast<int>(lines.size());
  if (count <= most) return lines;
  lines.resize(most);
  lines.back() = {{absl::StrCat("and ", count - most + 1,
                                " more processes without an answer"),
                   Style::kError}};
  return lines;
}

std::vector<Line> View::DetailLines() const {
  if (rows_.empty()) return {{{"", Style::kDim}}, {{"", Style::kDim}}};
  const Row& row = rows_[selected_];
  std::string who =
      absl::StrCat("trace ", row.trace_id().empty() ? "none" : row.trace_id());
  std::string what;
  if (row.request == nullptr) {
    what = absl::StrCat("a call that belongs to no request: ",
                        Describe(*row.call));
  } else {
    const v1::InFlightRequest& request = *row.request;
    if (!request.peer().empty()) {
      absl::StrAppend(&who, ", from ", request.peer());
    }
    if (!request.request_id().empty()) {
      absl::StrAppend(&who, ", id ", request.request_id());
    }
    what = absl::StrCat(std::string(OwnerName(request.deadline_owner())), ", ",
                        std::string(StyleName(request.style())), ", ",
                        request.observed() ? "observed" : "not observed");
    if (const std::string waits = DescribeWaits(row); !waits.empty()) {
      absl::StrAppend(&what, ", ", waits);
    }
  }
  return {{{who, Style::kDim}}, {{what, Style::kDim}}};
}

std::string View::BottomLine() const {
  if (draft_.has_value()) {
    return absl::StrCat("method or trace: ", *draft_,
                        "_   (Enter: filter, Esc: as before)");
  }
  return absl::StrCat("q quit  / filter  p ", paused_ ? "go on" : "pause",
                      "  sort: t left  a age  m method  s process  r reverse");
}

}  // namespace tether::ctl
