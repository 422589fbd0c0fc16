// A thread of tether's own, in a process that belongs to others.
//
//  - It takes none of the program's signals: all are blocked in it but those
//    that a fault of the thread itself raises (SIGSEGV and the like), so that a
//    crash handler still sees the crashes of callbacks. Threads that a callback
//    starts inherit that.
//  - It has a name, for debuggers and /proc.
//  - Where the system has no thread to give (EAGAIN: a limit on processes, or
//    memory), Start says so. It never throws.
//
// Thread safety: none; its owner locks. Not joined by its destructor: an owner
// that lives for ever has none to call.

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
  // What this was must not be left running: it has no owner then.
  ServiceThread& operator=(ServiceThread&& other) noexcept {
    thread_ = other.thread_;
    started_ = std::exchange(other.started_, false);
    return *this;
  }

  // Runs `body`, which must not throw, on a new thread. `name` has at most 15
  // characters. Requires !started(). Returns false, and destroys `body`, where
  // there is no thread to be had.
  [[nodiscard]] bool Start(const char* name,
                           absl::AnyInvocable<void() &&> body) noexcept;

  bool started() const { return started_; }
  bool IsThisThread() const {
    return started_ && pthread_equal(thread_, pthread_self()) != 0;
  }

  // All require started(), and end that.
  void Join();
  void Detach();
  // For the child of a fork, which does not have the thread.
  void AbandonAfterFork() { started_ = false; }

 private:
  pthread_t thread_{};
  bool started_ = false;
};

// For tests: the next `n` starts of the process fail.
void FailThreadStarts(int n);

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SERVICE_THREAD_H_
