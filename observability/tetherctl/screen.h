// SPDX-License-Identifier: Apache-2.0
//
// The terminal, by ncurses: lines in, keys out. One at a time in a process.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_SCREEN_H_
#define TETHER_OBSERVABILITY_TETHERCTL_SCREEN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "observability/tetherctl/table.h"

namespace tether::ctl {

// The destructor restores the terminal.
//
// Thread safety: none. Use it on one thread.
class Screen {
 public:
  // Takes the terminal over. An error if standard input or output isn't one, or
  // if $TERM is unknown. Has colors if the terminal has them and `colors` is
  // true.
  static absl::StatusOr<std::unique_ptr<Screen>> Open(bool colors);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  int width() const;
  int height() const;
  // What the terminal can draw bars with.
  Glyphs glyphs() const;

  void Show(const std::vector<Line>& lines);

  // The next key (Key in view.h, or a character) that was pressed, or kKeyNone.
  // Doesn't block.
  int ReadKey();

 private:
  explicit Screen(void* terminal);
  int AttributesOf(Style style) const;

  void* const terminal_;  // ncurses' SCREEN
  bool has_colors_ = false;
};

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_SCREEN_H_
