// SPDX-License-Identifier: Apache-2.0
//
// How the ends of requests end a call that is made for them.
//
//   Correlator::Match match = correlator.Find(names);
//   if (match.kind == Correlator::Match::Kind::kAlive) {
//     absl::Duration rest = RemainingOfLatest(match.requests);
//     ...  // the call's deadline: the earlier of the application's and `rest`
//     cut.emplace(match.requests, [&rpc](RequestEnd, const absl::Status&) {
//       rpc.TryCancel();
//     });
//   }

#ifndef TETHER_SIDECAR_REQUEST_END_H_
#define TETHER_SIDECAR_REQUEST_END_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "sidecar/request.h"
#include "tether/after_func.h"

namespace tether::sidecar {

// The latest deadline of `requests`; InfiniteFuture() if one of them has none,
// or if there are none.
absl::Time LatestDeadline(const Requests& requests);

// The time until then, on the steady clock: InfiniteDuration() if one of them
// has no deadline, or if there are none; <= 0 if all deadlines have passed.
absl::Duration RemainingOfLatest(const Requests& requests);

// Runs a callback once, when all of several requests have ended and none of
// them by completion. If one was completed, the callback never runs: a call
// that may have been made for that request runs on.
//
// It misses no end: a request that ended between Find and the constructor
// counts. The callback runs where AfterFunc's callbacks run (after_func.h), so
// perhaps in the constructor, and without any lock held. It should not block
// and must not destroy this object.
//
// Thread safety: the destructor may run while requests end. After it, the
// callback is not running and never will; so do not destroy this while holding
// a lock that the callback takes. Lifetime: keeps the requests.
class CutWhenAllEnd {
 public:
  // Gets the end and the status of the last request to end: CANCELLED or
  // DEADLINE_EXCEEDED.
  using Callback = absl::AnyInvocable<void(RequestEnd, const absl::Status&) &&>;

  // If `requests` is empty, `callback` never runs.
  CutWhenAllEnd(Requests requests, Callback callback);
  CutWhenAllEnd(const CutWhenAllEnd&) = delete;
  CutWhenAllEnd& operator=(const CutWhenAllEnd&) = delete;
  ~CutWhenAllEnd() = default;

 private:
  void OnEnd(const Request& request);

  const Requests requests_;
  Callback callback_;  // used by the last end
  std::atomic<size_t> alive_;
  std::atomic<bool> completed_{false};

  // Destroyed first: the callbacks use everything above.
  std::optional<Registration> first_;  // no allocation for one request
  std::vector<std::unique_ptr<Registration>> others_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_REQUEST_END_H_
