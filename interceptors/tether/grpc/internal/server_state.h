// SPDX-License-Identifier: Apache-2.0
//
// The state that all calls of one server share.

#ifndef TETHER_GRPC_INTERNAL_SERVER_STATE_H_
#define TETHER_GRPC_INTERNAL_SERVER_STATE_H_

#include <atomic>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/internal/delayed.h"
#include "tether/grpc/internal/end_watcher.h"
#include "tether/grpc/internal/policy_table.h"
#include "tether/grpc/internal/shed_budget.h"
#include "tether/grpc/server_options.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/internal/spread.h"

namespace tether::internal {

// Thread safety: any thread.
//
// Lock order: no other lock is taken under `mutex_`.
class ServerState : public std::enable_shared_from_this<ServerState> {
 public:
  // Fills in the options that are not set.
  static std::shared_ptr<ServerState> Make(ServerOptions options);

  // How long a handler may take to answer after its context has ended.
  absl::Duration answer_grace() const;

  const ServerOptions options;
  const PolicyTable policies;
  ShedBudgets shed_budgets;
  const std::shared_ptr<EndWatcher> watcher;
  // The parent of the contexts of requests that begin on this thread: a child
  // of options.base_context for each of some threads, or base_context itself if
  // it is a root. Otherwise each request would take the lock of the base
  // context twice, and write its count of references.
  const Context& parent() const { return parents_.get().ctx; }

  // True if options.base_context can end, and the calls are cancelled then.
  const bool cancels_calls_at_end;
  // True if options.base_context is on the machine's clock, not on a test's.
  const bool is_on_real_clock;
  // When options.base_context ended, on the real steady clock; 0 if it hasn't,
  // or if nobody is told.
  Nanos ended_at() const { return ended_at_.load(std::memory_order_relaxed); }
  // How long a new request's context answers Done() by its clock alone: kDelay
  // of the watcher, or nothing if that clock isn't the machine's.
  const absl::Duration quiet_time;

 private:
  explicit ServerState(ServerOptions options);

  // Their CancelFuncs run when the last call is over.
  const Spread<Cancellable> parents_;

  void OnBaseContextEnded();
  void CancelAllCalls();

  std::atomic<Nanos> ended_at_{0};
  Mutex mutex_;
  std::unique_ptr<Delayed> delayed_cancel_ ABSL_GUARDED_BY(mutex_);
  std::optional<Registration> at_end_of_base_context_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_SERVER_STATE_H_
