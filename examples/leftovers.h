// SPDX-License-Identifier: Apache-2.0
//
// Counts the threads and contexts that a piece of a program leaves behind. The
// examples use it to show that there are none. Linux only.

#ifndef EXAMPLES_LEFTOVERS_H_
#define EXAMPLES_LEFTOVERS_H_

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/context_stats.h"

namespace examples {

// Counts the process's threads and contexts when it is made. Print shows how
// many more there are. Threads that start once and stay are excluded: tether's
// threads for deadlines, and a sanitizer's own.
class Leftovers {
 public:
  Leftovers() : contexts_(Contexts()) {
    StartThreadsForDeadlines();
    pid_t first = 0;
    std::thread([&first] { first = gettid(); }).join();
    const std::string entry = "/proc/self/task/" + std::to_string(first);
    while (std::filesystem::exists(entry)) std::this_thread::yield();
    threads_ = Threads();
  }

  // Prints "left behind: 0 threads, 0 contexts". Waits up to five seconds for
  // that, because the system lists a joined thread a moment longer.
  void Print() const {
    const auto give_up =
        std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while ((Threads() != threads_ || Contexts() != contexts_) &&
           std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::printf("left behind: %d threads, %d contexts\n", Threads() - threads_,
                Contexts() - contexts_);
  }

 private:
  // The second one starts with the first callback of a deadline.
  static void StartThreadsForDeadlines() {
    const auto here = std::this_thread::get_id();
    for (std::thread::id ran_on;
         ran_on == std::thread::id() || ran_on == here;) {
      auto [ctx, cancel] =
          tether::WithTimeout(tether::Background(), absl::Milliseconds(1));
      auto [called, call] = tether::WithCancel(tether::Background());
      const tether::Registration registration =
          tether::AfterFunc(ctx, [&ran_on, &call = call] {
            ran_on = std::this_thread::get_id();
            call();
          });
      called.Wait();
    }
  }

  static int Threads() {
    using std::filesystem::directory_iterator;
    return static_cast<int>(
        std::distance(directory_iterator("/proc/self/task"), {}));
  }
  static int Contexts() {
    return static_cast<int>(tether::GetContextStats().contexts);
  }

  const int contexts_;
  int threads_;
};

}  // namespace examples

#endif  // EXAMPLES_LEFTOVERS_H_
