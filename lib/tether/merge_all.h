// SPDX-License-Identifier: Apache-2.0
//
// MergeAll: a context that ends when all of its members have ended. (A Merge
// ends when either of its two parents does.) Use it for work that several
// callers share, such as one fetch for many requests or a batch: the work goes
// on while at least one caller waits for it.
//
//   // The first caller starts the fetch, others join it.
//   auto fetch =
//       std::make_shared<tether::MergeAll>(tether::WithoutCancel(ctx));
//   fetch->Add(ctx);
//   StartFetch(fetch->context(), ...);
//   ...
//   if (!fetch->Add(other_ctx)) ...  // too late: the fetch has been given up

#ifndef TETHER_MERGE_ALL_H_
#define TETHER_MERGE_ALL_H_

#include <atomic>
#include <list>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/mutex.h"

namespace tether {

// Guarantees:
//  1. context() lives while a member lives, and until the first one is added.
//     It ends earlier if `base` ends or if it is cancelled.
//  2. When the last living member ends, context() ends for the same reason
//     (Err() and Cause()), on the thread that ended the member, before that
//     thread's cancel() returns. After that, Add returns false.
//  3. context() has the values, the clock and the deadline of `base`. It does
//     not inherit deadlines of members, since a later member may have a later
//     deadline. If the last member ends by its deadline, context() ends a
//     moment later, when the timer fires.
//  4. A member keeps nothing of the MergeAll once either of them has ended.
//
// Thread safety: any thread. The destructor requires that no call is running or
// starts. Callbacks of members and of context() may use the MergeAll and
// destroy it. Lifetime: keeps `base` and the living members alive. If Add runs
// out of memory, it throws and adds nothing.
class [[nodiscard]] TETHER_EXPORT MergeAll {
 public:
  // `base` is the parent of context(): usually WithoutCancel() of the first
  // caller's context, or Background().
  [[nodiscard]] explicit MergeAll(const Context& base);
  MergeAll(const MergeAll&) = delete;
  MergeAll& operator=(const MergeAll&) = delete;

  // Ends context(). If another thread is ending a member, waits for the
  // callbacks that this runs; so do not destroy it while holding a lock that
  // callbacks of context() take.
  ~MergeAll();

  const Context& context() const { return state_->shared.ctx; }

  // Makes `ctx` a member and returns true. Returns false if context() has
  // ended, or ends now because `ctx` was done and there was no other member;
  // the caller then has to start work of its own. Adding a context twice is
  // harmless.
  bool Add(const Context& ctx);

  // Ends context() even if members live. `cause` is as for CancelFunc.
  void Cancel(const absl::Status& cause = absl::OkStatus()) {
    state_->shared.cancel(cause);
  }

 private:
  // Shared with the callbacks, since one of them may destroy the MergeAll.
  struct State {
    explicit State(const Context& base) : shared(WithCancel(base)) {}
    void OneEnded(const Context& member);

    const Cancellable shared;
    internal::Mutex mutex;
    int living ABSL_GUARDED_BY(mutex) = 0;
    bool ended ABSL_GUARDED_BY(mutex) = false;  // the last member has ended
  };
  struct Member {
    std::optional<Registration> registration;
    std::atomic<bool> over{false};
  };

  const std::shared_ptr<State> state_;
  internal::Mutex mutex_;
  std::list<Member> members_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether

#endif  // TETHER_MERGE_ALL_H_
