// SPDX-License-Identifier: Apache-2.0
//
// Tells the layers above of each request and call that ends in this process.
// Without an observer, that costs one load for each.

#ifndef TETHER_GRPC_INTERNAL_CALL_OBSERVER_H_
#define TETHER_GRPC_INTERNAL_CALL_OBSERVER_H_

#include <grpcpp/support/status.h>

#include <atomic>
#include <string_view>

#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/export.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// Times are nanoseconds; kNever: there is no deadline.

// A request that a server has served.
struct RequestEnd {
  // Its context, which has ended. Its values can still be read.
  const Context& ctx;
  std::string_view method;
  // As RequestSummary has them.
  grpc::StatusCode code;
  EndReason reason;

  Nanos time_left;      // the caller's, on arrival
  Nanos timeout;        // of the context
  DeadlineOwner owner;  // of the timeout, if there is one
  Nanos spent;          // from the arrival until now
  Nanos left_at_end;    // of the context; not positive once it has passed
  // How long ago the context ended, before the handler answered; 0 if it didn't
  // or if it isn't known when.
  Nanos worked_after_end;
  // The same, from the moment when the handler could know: from the first
  // operation that failed, if one has.
  Nanos deaf;
  // See InFlightRequest. True for streams and the callback API, whose handlers
  // gRPC itself tells of the end.
  bool observed;
  bool watched;  // there was a watch for the end of the call
  bool shed;     // turned away because of min_budget
};

// A call that a client begins to make.
struct CallBegin {
  const Context& ctx;
  std::string_view method;
  // True if the ctx was replaced on purpose (CallOptions::detached).
  bool detached;
};

// A call that a client has made.
struct CallEnd {
  std::string_view method;
  grpc::StatusCode code;
  EndReason reason;
  // False if the context had ended before anything was sent.
  bool sent;
  Nanos spent;
  Nanos time_left;  // when it began
  // How much longer the callee has by grpc-timeout than by tether-timeout and
  // the caller's reserve; kNever if one of them wasn't sent.
  Nanos drift;
};

// Thread safety: must be thread-safe. The functions are called on the threads
// of the RPCs, which wait for them. They must not block.
class CallObserver {
 public:
  virtual ~CallObserver() = default;

  // The status is about to be sent; without one, the call is about to be
  // destroyed.
  virtual void OnRequestEnd(const RequestEnd& request) noexcept = 0;
  // On the thread that makes the call.
  virtual void OnCallBegin(const CallBegin& call) noexcept = 0;
  // The application is about to get the status; or it has abandoned the call.
  virtual void OnCallEnd(const CallEnd& call) noexcept = 0;

 private:
  friend void AddCallObserver(CallObserver* observer);
  friend class CallObservers;
  CallObserver* next_ = nullptr;  // constant once it is added
};

// Adds an observer, for the rest of the process. Requests and calls that exist
// already are reported, too. Any thread.
TETHER_EXPORT void AddCallObserver(CallObserver* observer);

class CallObservers {
 public:
  static bool Any() {
    return first_.load(std::memory_order_relaxed) != nullptr;
  }

  // Calls `tell` with each observer.
  template <typename Tell>
  static void ForEach(Tell tell) {
    for (CallObserver* o = first_.load(std::memory_order_acquire); o != nullptr;
         o = o->next_) {
      tell(*o);
    }
  }

 private:
  friend void AddCallObserver(CallObserver* observer);
  TETHER_EXPORT static std::atomic<CallObserver*> first_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CALL_OBSERVER_H_
