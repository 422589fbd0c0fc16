// SPDX-License-Identifier: Apache-2.0
//
// Together: runs functions at the same time, each on a thread of its own.

#ifndef TETHER_TESTING_TOGETHER_H_
#define TETHER_TESTING_TOGETHER_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace tether::testing {

// Starts the functions at the same time, and returns when all have returned.
inline void Together(const std::vector<std::function<void()>>& functions) {
  std::atomic<size_t> ready{0};
  std::vector<std::thread> threads;
  for (const auto& f : functions) {
    threads.emplace_back([&] {
      ++ready;
      while (ready.load() < functions.size()) std::this_thread::yield();
      f();
    });
  }
  for (std::thread& t : threads) t.join();
}

// Runs function(0), function(1), … on `threads` threads.
inline void Together(int threads, const std::function<void(int)>& function) {
  std::vector<std::function<void()>> functions;
  for (int i = 0; i < threads; ++i) {
    functions.push_back([&function, i] { function(i); });
  }
  Together(functions);
}

}  // namespace tether::testing

#endif  // TETHER_TESTING_TOGETHER_H_
