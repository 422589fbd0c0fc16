// Tells when a server call ends: the push that gRPC's sync and async servers
// don't have.
//
// A child call with cancellation propagation is made on a channel that sends
// nothing; core cancels it the moment its parent ends (the client cancelled or
// vanished, the deadline passed, the handler finished). One thread waits for
// that on behalf of all. It says "ended", not why. Costs some tens of
// microseconds, so it is made only for calls that somebody observes.
//
// Thread safety: any thread. Lifetime: shared by all servers of the process
// (Get); the thread ("tether-watch") is started with the first watch, and
// joined when the last owner lets go. It takes none of the program's signals.
// Where the system has no thread to give, the next watch tries again, and what
// is watched is told of its end once that succeeds.

#ifndef TETHER_GRPC_INTERNAL_END_WATCHER_H_
#define TETHER_GRPC_INTERNAL_END_WATCHER_H_

#include <grpc/grpc.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "tether/internal/mutex.h"
#include "tether/internal/service_thread.h"

namespace tether::internal {

class EndWatcher {
 public:
  // The process's watcher; made anew when nobody holds one.
  static std::shared_ptr<EndWatcher> Get();

  ~EndWatcher();
  EndWatcher(const EndWatcher&) = delete;
  EndWatcher& operator=(const EndWatcher&) = delete;

  // Calls `on_end` once, on the watcher's thread, when `call` has ended; soon,
  // if it already has. The caller holds a reference to `call`, for the duration
  // of this function. `on_end` must not block. When the watcher goes first,
  // `on_end` is called then.
  void Watch(grpc_call* call, absl::AnyInvocable<void() &&> on_end);

 private:
  struct Queue;
  struct Child;

  EndWatcher();

  std::shared_ptr<Queue> queue_;
  Mutex mutex_;
  ServiceThread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_END_WATCHER_H_
