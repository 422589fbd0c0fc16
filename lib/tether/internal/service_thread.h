// SPDX-License-Identifier: Apache-2.0
//
// ServiceThread: a thread that tether starts in the user's process. Internal.
//
//  - It receives none of the program's signals: it blocks all except those that
//    its own faults raise (SIGSEGV and the like), so that a crash handler still
//    sees crashes of callbacks. Threads started by callbacks inherit this.
//  - It has a name, for debuggers and /proc.
//  - If the system has no more threads (EAGAIN: a limit on processes, or no
//    memory), Start returns false. It never throws.
//
// Thread safety: none; its owner must lock. The destructor does not join the
// thread, since the owners live forever.

#ifndef TETHER_INTERNAL_SERVICE_THREAD_H_
#define TETHER_INTERNAL_SERVICE_THREAD_H_

#include <pthread.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "tether/export.h"

namespace tether::internal {

class TETHER_EXPORT ServiceThread {
 public:
  ServiceThread() = default;
  ServiceThread(ServiceThread&& other) noexcept
      : thread_(other.thread_),
        started_(std::exchange(other.started_, false)) {}
  // Requires that this does not own a running thread.
  ServiceThread& operator=(ServiceThread&& other) noexcept {
    thread_ = other.thread_;
    started_ = std::exchange(other.started_, false);
    return *this;
  }

  // Runs `body`, which must not throw, on a new thread. `name` has at most 15
  // characters. Requires !started(). If no thread can be started, destroys
  // `body` and returns false.
  [[nodiscard]] bool Start(const char* name,
                           absl::AnyInvocable<void() &&> body) noexcept;

  bool started() const { return started_; }
  bool IsThisThread() const {
    return started_ && pthread_equal(thread_, pthread_self()) != 0;
  }

  // All of these require started(), and reset it.
  void Join();
  void Detach();
  // For the child of a fork, which does not have the thread.
  void AbandonAfterFork() { started_ = false; }

 private:
  pthread_t thread_{};
  bool started_ = false;
};

// For tests: makes the next `n` starts in this process fail.
void FailThreadStarts(int n);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SERVICE_THREAD_H_
