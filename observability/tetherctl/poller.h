// SPDX-License-Identifier: Apache-2.0
//
// Asks processes again and again, each on its own, so that a slow one delays no
// other.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_POLLER_H_
#define TETHER_OBSERVABILITY_TETHERCTL_POLLER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "observability/tetherctl/fetch.h"
#include "tether/context.h"
#include "tether/internal/mutex.h"
#include "tether/task_group.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {

// Has one thread for each process, until `ctx` ends or this is destroyed.
//
// Thread safety: any thread.
class Poller {
 public:
  // `interval`: from one question to the next, or longer if the answer takes
  // longer. `processes` must outlive this object.
  Poller(const Context& ctx, const Processes& processes, v1::ListRequest list,
         absl::Duration interval);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Asks with these filters from now on; for the first time at once, if they
  // are others.
  void SetList(v1::ListRequest list);

  // The last answer of each process, in their order. An entry without a result
  // has not answered yet. nullopt: nothing has changed since the last call.
  std::optional<Snapshots> News();

 private:
  void Poll(const Context& ctx, size_t index);

  const Processes& processes_;
  const absl::Duration interval_;

  internal::Mutex mutex_;
  v1::ListRequest list_ ABSL_GUARDED_BY(mutex_);
  // Ends when the filters change.
  Cancellable same_list_ ABSL_GUARDED_BY(mutex_);
  std::vector<ProcessSnapshot> answers_ ABSL_GUARDED_BY(mutex_);
  bool has_news_ ABSL_GUARDED_BY(mutex_) = true;

  TaskGroup group_;  // last: its tasks use the others
};

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_POLLER_H_
