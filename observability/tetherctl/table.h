// SPDX-License-Identifier: Apache-2.0
//
// The table of `tetherctl top`: rows from snapshots, filtered, sorted, and
// written in columns.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_TABLE_H_
#define TETHER_OBSERVABILITY_TETHERCTL_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/v1/inspector.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {

// How a piece of a line looks, where colours are possible.
enum class Style {
  kPlain,
  kTitle,
  kHeading,
  kDim,
  kGood,    // much time left
  kLittle,  // little time left
  kOver,    // no time left, or ended
  kError,
  kSelected,
};

struct Piece {
  std::string text;  // `width` columns
  Style style = Style::kPlain;
};
using Line = std::vector<Piece>;

// The text of `line`, without spaces at its end.
std::string TextOf(const Line& line);

// What a bar is drawn with: one column each.
struct Glyphs {
  std::string_view full = "#";
  std::string_view empty = ".";
};

// A request, or a call that belongs to no request. Points into its snapshot.
struct Row {
  const v1::InFlightRequest* request = nullptr;  // or
  const v1::InFlightCall* call = nullptr;
  std::string process;       // see ProcessLabels
  std::string address = "";  // of the process

  const std::string& method() const;
  const std::string& trace_id() const;
  int64_t age_us() const;
  std::optional<int64_t> time_left_us() const;
  v1::EndReason ended_by() const;
};

// A name for each process: that of its program. Those with the same name, and
// those without one, have their address, too.
std::vector<std::string> ProcessLabels(const Snapshots& snapshots);

enum class SortKey { kTimeLeft, kAge, kMethod, kProcess };

// "left", "age", "method", "process"; nullopt for other texts.
std::optional<SortKey> SortKeyNamed(std::string_view name);
std::string_view NameOf(SortKey key);

struct Order {
  // Time left: the least first. Age: the oldest first. Others: by name.
  SortKey key = SortKey::kTimeLeft;
  bool reversed = false;
};

// The rows of all processes whose method or trace id contains `filter`. Those
// that `order` doesn't distinguish are by time left, then by age.
std::vector<Row> MakeRows(const Snapshots& snapshots, std::string_view filter,
                          Order order);

// The widths of the columns. There is one space between two of them.
struct Columns {
  int bar = 4;
  int state = 11;
  int method = 12;
  bool has_packages = false;  // methods are shown with their packages
  int process = 8;
  int waits = 9;
  int trace = 0;  // 0: not shown
};

// Columns of at most `width` together, or 80 if that is more, for `rows`: as
// wide as the rows need, as far as there is room. Traces are shown from a width
// of `trace_from` on.
Columns ColumnsFor(const std::vector<Row>& rows, int width, int trace_from);

Line HeadingLine(const Columns& columns);
Line RowLine(const Row& row, const Columns& columns, const Glyphs& glyphs);

// How many calls a request waits for, whether they are listed or not. 0 for a
// call.
int64_t WaitsCount(const Row& row);

// What a request or call waits for, in at most `width` columns.
std::string WaitsText(const Row& row, int width);

// "waiting", "running", "calling" or why it has ended, with the time since then
// if that fits.
std::string StateText(const Row& row, int width);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_TABLE_H_
