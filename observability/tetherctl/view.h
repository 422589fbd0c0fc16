// SPDX-License-Identifier: Apache-2.0
//
// The screen of `tetherctl top` without the terminal: from snapshots and keys
// to lines.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_VIEW_H_
#define TETHER_OBSERVABILITY_TETHERCTL_VIEW_H_

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "observability/tetherctl/table.h"
#include "tether/v1/inspector.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {

// Keys that aren't characters. Characters are themselves.
enum Key : int {
  kKeyNone = -1,
  kKeyUp = 0x200000,
  kKeyDown,
  kKeyPageUp,
  kKeyPageDown,
  kKeyHome,
  kKeyEnd,
  kKeyBackspace,
  kKeyEnter,
  kKeyEscape,
};

// The selection stays on its request or call, wherever that moves to. If that
// is gone, the row in its place is selected. But who selects the first row
// watches the top of the list, so the first row stays selected.
//
// Thread safety: none.
class View {
 public:
  // `list`: the filters of the command line, which always apply.
  View(v1::ListRequest list, Order order, Glyphs glyphs);
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  // Shows these from now on; while it is paused, from the end of the pause on.
  void Update(Snapshots snapshots);

  // False: the user wants to quit.
  bool OnKey(int key);

  // What to ask the processes for, with the filter that the user has entered.
  v1::ListRequest list() const;

  // At most `height` lines of at most `width` columns.
  std::vector<Line> Render(int width, int height);

 private:
  // What tells a request or call from others, as far as anything does: which of
  // the two it is, its process, method, trace, and request id or target.
  using Identity =
      std::tuple<bool, std::string, std::string, std::string, std::string>;

  void OnEditKey(int key);
  void OnMoveKey(int key);
  void Move(int rows);
  void MakeRowsAgain();
  // Where the followed request or call is now, if it still is.
  std::optional<int> FollowedRow() const;

  std::string Title(int width, int first, int shown) const;
  std::vector<Line> ProcessLines(int most) const;
  std::vector<Line> DetailLines() const;
  std::string BottomLine() const;
  const std::string& filter() const { return draft_ ? *draft_ : filter_; }

  const v1::ListRequest base_;
  const Glyphs glyphs_;
  Order order_;
  std::string filter_;
  std::optional<std::string> draft_;  // while the user edits the filter
  bool paused_ = false;
  Snapshots snapshots_;
  std::optional<Snapshots> after_pause_;
  std::vector<Row> rows_;  // points into snapshots_
  int selected_ = 0;       // in rows_
  // What is selected, unless the user has selected the first row.
  std::optional<Identity> followed_;
  int first_ = 0;  // the first row on the screen
  int page_ = 1;   // rows on the screen
};

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_VIEW_H_
