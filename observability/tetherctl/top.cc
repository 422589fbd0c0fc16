// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/top.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "observability/tetherctl/fetch.h"
#include "observability/tetherctl/poller.h"
#include "observability/tetherctl/screen.h"
#include "observability/tetherctl/view.h"
#include "tether/context.h"

namespace tether::ctl {
namespace {

// How soon new snapshots are shown.
constexpr int kLookMs = 100;

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

bool WantsColors() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

int Fail(const absl::Status& status) {
  std::cerr << "ERROR: " << std::string(status.message()) << std::endl;
  return kExitTrouble;
}

// The number of a signal that has arrived, or 0.
int ReadSignal(int signals) {
  signalfd_siginfo info;
  return read(signals, &info, sizeof(info)) == sizeof(info)
             ? static_cast<int>(info.ssi_signo)
             : 0;
}

// Returns the exit code.
int Loop(Screen& screen, View& view, Poller& poller, int signals) {
  bool must_draw = true;
  std::pair<int, int> size;
  for (;;) {
    if (std::optional<Snapshots> news = poller.News()) {
      view.Update(*std::move(news));
      must_draw = true;
    }
    const std::pair<int, int> new_size(screen.width(), screen.height());
    if (must_draw || new_size != size) {
      size = new_size;
      screen.Show(view.Render(size.first, size.second));
    }
    must_draw = false;
    pollfd inputs[] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}};
    // An interrupted poll is as good as one without events: the terminal may
    // have another size.
    if (poll(inputs, 2, kLookMs) < 0) inputs[0].revents = inputs[1].revents = 0;
    if (inputs[1].revents != 0) {
      if (const int signal = ReadSignal(signals)) return 128 + signal;
    }
    // The terminal is gone.
    if ((inputs[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
      return 128 + SIGHUP;
    }
    for (int key; (key = screen.ReadKey()) != kKeyNone; must_draw = true) {
      if (!view.OnKey(key)) return kExitOk;
      poller.SetList(view.list());
    }
  }
}

}  // namespace

int RunTop(const Settings& settings) {
  const sigset_t ends = SetOf({SIGINT, SIGTERM, SIGHUP});
  // ncurses' handlers of these must run on this thread only.
  const sigset_t own = SetOf({SIGTSTP, SIGWINCH});
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  pthread_sigmask(SIG_BLOCK, &own, nullptr);
  const int signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) {
    return Fail(absl::ErrnoToStatus(errno, "can't receive signals"));
  }
  const auto close_signals = absl::MakeCleanup([signals] { close(signals); });

  const auto credentials = MakeCredentials(settings);
  if (!credentials.ok()) return Fail(credentials.status());
  const Processes processes =
      Connect(settings.addresses, *credentials, settings.timeout);
  auto [ctx, cancel] = WithCancel(Background());
  Poller poller(ctx, processes, settings.list, settings.interval);
  auto screen = Screen::Open(WantsColors());
  if (!screen.ok()) return Fail(screen.status());
  pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  View view(settings.list, settings.order, (*screen)->glyphs());
  const int exit_code = Loop(**screen, view, poller, signals);
  // The user sees the end at once; the questions end next.
  screen->reset();
  return exit_code;
}

}  // namespace tether::ctl
