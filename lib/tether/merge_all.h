// MergeAll: a context that ends when all of its members have; the counterpart
// of Merge, which ends when either does. For work that several callers share
// (one fetch for many requests, a batch): it goes on while anybody wants it.
//
//   // The first caller starts the fetch, others join it.
//   auto fetch =
//   std::make_shared<tether::MergeAll>(tether::WithoutCancel(ctx));
//   fetch->Add(ctx);
//   StartFetch(fetch->context(), ...);
//   ...
//   if (!fetch->Add(other_ctx)) ...  // too late: it has been given up

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
//  1. context() lives while a member does, and until the first one is added. It
//     ends, at the latest, with `base`, or when cancelled.
//  2. When the last living member ends, context() ends for that one's reason
//     (Err() and Cause()), on the thread that ended it, before its call of
//     cancel() returns. Once ended it stays so: Add returns false.
//  3. Values, clock and deadline of context() are those of `base`. The
//  deadlines
//     of members aren't inherited: a member that comes may be later than all
//     before it. Where the last member ends by its deadline, context() ends a
//     moment later than that, when the timer has fired.
//  4. Members keep nothing of it when they have ended, nor when it is gone.
//
// Thread safety: any thread, except for the destructor: no call may be under
// way or start then. Callbacks of members and of context() may use it, and
// destroy it. Lifetime: keeps `base` and the living members alive. Where memory
// runs out, Add throws, and has added nothing.
class [[nodiscard]] TETHER_EXPORT MergeAll {
 public:
  // `base` is what the shared work runs in, apart from its callers: mostly
  // WithoutCancel(of the first caller's), or Background().
  [[nodiscard]] explicit MergeAll(const Context& base);
  MergeAll(const MergeAll&) = delete;
  MergeAll& operator=(const MergeAll&) = delete;

  // Ends context(): the work is over. Where another thread ends a member, waits
  // for what that runs here; so it must not be called with a lock held that
  // callbacks of context() take.
  ~MergeAll();

  const Context& context() const { return state_->shared.ctx; }

  // Makes `ctx` a member, and returns true; false when context() has ended, be
  // it that `ctx` was done and there was no other. Who gets false has to start
  // work of its own. Adding one twice is harmless.
  bool Add(const Context& ctx);

  // Ends context() whatever the members do; as CancelFunc.
  void Cancel(const absl::Status& cause = absl::OkStatus()) {
    state_->shared.cancel(cause);
  }

 private:
  // Shared with the callbacks, one of which may destroy the MergeAll.
  struct State {
    explicit State(const Context& base) : shared(WithCancel(base)) {}
    void OneEnded(const Context& member);

    const Cancellable shared;
    internal::Mutex mutex;
    int living ABSL_GUARDED_BY(mutex) = 0;
    bool ended ABSL_GUARDED_BY(mutex) = false;  // the last one has
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
