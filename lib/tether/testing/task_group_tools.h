// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the tests of TaskGroup.

#ifndef TETHER_TESTING_TASK_GROUP_TOOLS_H_
#define TETHER_TESTING_TASK_GROUP_TOOLS_H_

#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "tether/executor.h"

namespace tether::testing {

// `cause` without the EndReason that is attached to it.
inline absl::Status WithoutReason(const absl::Status& cause) {
  return absl::Status(cause.code(), cause.message());
}

// Blocks threads until it is opened.
class Gate {
 public:
  void Open() { open_ = true; }
  void Pass() const {
    while (!open_) std::this_thread::yield();
  }

 private:
  std::atomic<bool> open_{false};
};

// A pool that keeps its tasks until the test runs or drops them.
class ManualPool {
 public:
  Executor AsExecutor() {
    return [this](auto task) { tasks_.push_back(std::move(task)); };
  }
  void RunAll() {
    while (!tasks_.empty()) {
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void DropAll() { tasks_.clear(); }
  std::function<void()> front() const { return tasks_.front(); }

 private:
  std::deque<std::function<void()>> tasks_;
};

// An executor that runs each task before it returns.
inline void RunAtOnce(const std::function<void()>& task) { task(); }

}  // namespace tether::testing

#endif  // TETHER_TESTING_TASK_GROUP_TOOLS_H_
