// SPDX-License-Identifier: Apache-2.0
//
// Reports when a server call ends. gRPC's sync and async servers don't report
// that.
//
// It makes a child call with cancellation propagation, on a channel that sends
// nothing. Core cancels the child call as soon as its parent ends: the client
// cancelled or vanished, the deadline passed, or the handler finished. One
// thread waits for that on behalf of all. The reason for the end isn't known. A
// watch costs some tens of microseconds, so it is made only for calls whose
// context is observed. The same thread makes the watches that are to be made a
// moment later (WatchLater).
//
// Thread safety: any thread. Lifetime: all servers of the process share one
// (Get). The first watch starts its thread ("tether-watch"), and the last owner
// joins it. The thread blocks the program's signals. If the system can't start
// a thread, the next watch tries again, and ends are reported once that
// succeeds.
//
// Lock order: the locks of gRPC core may be taken under the queue's lock and
// under `mutex_`. No `on_end` is called under a lock.

#ifndef TETHER_GRPC_INTERNAL_END_WATCHER_H_
#define TETHER_GRPC_INTERNAL_END_WATCHER_H_

#include <grpc/grpc.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "tether/grpc/internal/delay_queue.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/internal/service_thread.h"

namespace tether::internal {

class EndWatcher {
 public:
  // Returns the watcher of the process. Creates it if there is none.
  static std::shared_ptr<EndWatcher> Get();

  ~EndWatcher();
  EndWatcher(const EndWatcher&) = delete;
  EndWatcher& operator=(const EndWatcher&) = delete;

  // Calls `on_end` once, on the watcher's thread, when `call` has ended, or
  // soon if it has ended already. `on_end` must not block. The caller must hold
  // a reference to `call` during this function. If the watcher is destroyed
  // first, `on_end` is called then.
  void Watch(grpc_call* call, absl::AnyInvocable<void() &&> on_end);

  // Calls entry.OnDue(), which makes a watch, on the watcher's thread, once
  // `kDelay` has passed since `now`, the time of Clock::Real(). Call it at most
  // once for an entry. An owner of the watcher must also own the entry, which
  // must be taken back before it is destroyed.
  void WatchLater(DelayQueue::Entry& entry, Nanos now);

  // Takes back an entry for which WatchLater has returned. OnDue may be
  // running, or about to.
  void TakeBack(DelayQueue::Entry& entry);

  static constexpr Nanos kDelay = 2'000'000;

  // The process has an async server. From now on, a thread polls while there is
  // a watcher with a thread: if the only thread of such a server is busy in a
  // handler, nobody else reads from its sockets, and ends aren't noticed. The
  // other servers poll themselves: a sync server refuses a request rather than
  // let the last thread that polls handle it. A further thread that polls costs
  // each RPC of the process 1,700 instructions (gRPC 1.51.1).
  static void Poll();

 private:
  struct Queue;
  struct Child;
  struct Poller;

  EndWatcher();

  // Returns true if the thread was running already. Otherwise tries to start
  // it; if that fails, the queue keeps the events for a later one.
  bool EnsureThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Starts the thread that polls, if one is needed and there is none.
  void EnsurePoller() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::shared_ptr<Queue> queue_;
  Mutex mutex_;
  ServiceThread thread_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Poller> poller_ ABSL_GUARDED_BY(mutex_);
  ServiceThread polling_thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_END_WATCHER_H_
