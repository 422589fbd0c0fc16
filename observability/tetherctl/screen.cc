// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/screen.h"

#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "observability/tetherctl/view.h"

namespace tether::ctl {
namespace {

constexpr int kEscapeDelayMs = 25;
constexpr int kEscape = 27;
constexpr int kDelete = 127;

enum ColorPair : short { kGreen = 1, kYellow, kRed };

}  // namespace

absl::StatusOr<std::unique_ptr<Screen>> Screen::Open(bool colors) {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
    return absl::FailedPreconditionError(
        "top needs a terminal; --once prints the table once");
  }
  setlocale(LC_ALL, "");
  // Not initscr, which ends the process if it fails.
  SCREEN* terminal = newterm(nullptr, stdout, stdin);
  if (terminal == nullptr) {
    return absl::FailedPreconditionError(
        "this terminal isn't known ($TERM); --once prints the table once");
  }
  auto screen = absl::WrapUnique(new Screen(terminal));
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  set_escdelay(kEscapeDelayMs);
  curs_set(0);
  if (colors && has_colors()) {
    screen->has_colors_ = true;
    start_color();
    use_default_colors();
    init_pair(kGreen, COLOR_GREEN, -1);
    init_pair(kYellow, COLOR_YELLOW, -1);
    init_pair(kRed, COLOR_RED, -1);
  }
  return screen;
}

Screen::Screen(void* terminal) : terminal_(terminal) {}

Screen::~Screen() {
  curs_set(1);
  endwin();
  delscreen(static_cast<SCREEN*>(terminal_));
}

int Screen::width() const { return getmaxx(stdscr); }
int Screen::height() const { return getmaxy(stdscr); }

Glyphs Screen::glyphs() const {
  return std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0
             ? Glyphs{"\u2588", "\u2591"}
             : Glyphs();
}

int Screen::AttributesOf(Style style) const {
  const auto colored = [this](ColorPair pair, int otherwise) -> int {
    return has_colors_ ? COLOR_PAIR(pair) : otherwise;
  };
  switch (style) {
    case Style::kTitle:
    case Style::kSelected:
      return A_REVERSE;
    case Style::kHeading:
      return A_BOLD | A_UNDERLINE;
    case Style::kDim:
      return A_DIM;
    case Style::kGood:
      return colored(kGreen, A_NORMAL);
    case Style::kLittle:
      return colored(kYellow, A_NORMAL);
    case Style::kOver:
    case Style::kError:
      return colored(kRed, A_BOLD);
    case Style::kPlain:
      break;
  }
  return A_NORMAL;
}

void Screen::Show(const std::vector<Line>& lines) {
  erase();
  for (size_t i = 0; i < lines.size(); ++i) {
    move(static_cast<int>(i), 0);
    for (const Piece& piece : lines[i]) {
      attrset(AttributesOf(piece.style));
      // A character in the last column of the last line can't move the cursor
      // on. That is an error for ncurses, but the character is shown.
      (void)addstr(piece.text.c_str());
      if (getcury(stdscr) != static_cast<int>(i)) break;  // the line is full
    }
  }
  attrset(A_NORMAL);
  // ncurses ignores SIGTSTP during a refresh, so a Ctrl-Z would be lost. One
  // that is blocked waits.
  sigset_t stop;
  sigset_t before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  pthread_sigmask(SIG_BLOCK, &stop, &before);
  refresh();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

int Screen::ReadKey() {
  const int key = getch();
  switch (key) {
    case ERR:
    case KEY_RESIZE:  // width() and height() have changed
      return kKeyNone;
    case KEY_UP:
      return kKeyUp;
    case KEY_DOWN:
      return kKeyDown;
    case KEY_PPAGE:
      return kKeyPageUp;
    case KEY_NPAGE:
      return kKeyPageDown;
    case KEY_HOME:
      return kKeyHome;
    case KEY_END:
      return kKeyEnd;
    case KEY_BACKSPACE:
    case kDelete:
    case '\b':
      return kKeyBackspace;
    case KEY_ENTER:
    case '\r':
    case '\n':
      return kKeyEnter;
    case kEscape:
      return kKeyEscape;
    default:
      // ncurses' other keys are above all characters.
      return key < KEY_MIN ? key : kKeyNone;
  }
}

}  // namespace tether::ctl
