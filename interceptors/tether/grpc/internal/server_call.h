// One RPC on a server, as tether knows it: its context, and what ends that.

#ifndef TETHER_GRPC_INTERNAL_SERVER_CALL_H_
#define TETHER_GRPC_INTERNAL_SERVER_CALL_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/internal/call_registry.h"
#include "tether/grpc/internal/delayed.h"
#include "tether/grpc/internal/end_watcher.h"
#include "tether/grpc/internal/hop_record.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/policy_table.h"
#include "tether/grpc/internal/shed_budget.h"
#include "tether/grpc/server.h"
#include "tether/internal/deferred_callbacks.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

// What a request has left: `standard` by grpc-timeout, as gRPC keeps it, and
// `exact` by tether-timeout-us, which counts from when the headers were handed
// to gRPC, and which the caller has taken its reserve off. Where grpc-timeout
// ends before that, the request has waited meanwhile (for a connection, or for
// a thread of the server), and the caller's reserve is used up: then the
// default one is taken off what grpc-timeout has left. Some milliseconds are
// not a wait.
absl::Duration TimeLeft(absl::Duration standard, absl::Duration exact);

// What all calls of a server share.
class ServerShared : public std::enable_shared_from_this<ServerShared> {
 public:
  static std::shared_ptr<ServerShared> Make(ServerOptions server_options);

  // How long a handler may take to answer when its context has ended.
  absl::Duration grace() const {
    return std::max(options.answer_grace, absl::ZeroDuration());
  }

  const ServerOptions options;
  const PolicyTable policies;
  ShedBudgets shed_budgets;
  const std::shared_ptr<EndWatcher> watcher;
  // options.base_context can end, and its calls are cut off then.
  const bool cuts_at_end_of_lifetime;

 private:
  explicit ServerShared(ServerOptions server_options);

  void LifetimeEnded();
  void CutAll();

  Mutex mutex_;
  std::unique_ptr<Delayed> cut_all_ ABSL_GUARDED_BY(mutex_);
  std::optional<Registration> at_end_of_lifetime_;
};

// Thread safety: Begin comes first, once; after it, any thread. Shared: an
// interceptor may be destroyed while somebody who observes the context is about
// to start the watch.
class ServerCall : public std::enable_shared_from_this<ServerCall> {
 public:
  explicit ServerCall(std::shared_ptr<ServerShared> shared);
  ~ServerCall();
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  // Headers have come: makes the context, and lets ContextOf find it. `rpc` is
  // whatever is the RPC's own for as long as the ServerCall lives. False, and
  // nothing has been done, if another ServerCall has begun for it: that of
  // another interceptor of tether's on the server.
  // `told_of_end`: somebody will call EndOfCall promptly when the call ends
  // (the callback API); otherwise it is watched for once the context is
  // observed.
  bool Begin(const void* rpc, grpc::ServerContextBase* server_context,
             std::string_view method, const ReceivedMetadata::Map& metadata,
             bool told_of_end);

  // The status is about to be sent, after messages or without: adds the report,
  // if there is to be one. Before EndOfHandler.
  void WriteReport(std::string_view method, const grpc::Status& status,
                   bool after_messages, SentMetadata::Map& trailing_metadata);

  // `status` as strangers may see it (ServerOptions::edge), where that is less:
  // the message of a DEADLINE_EXCEEDED that came from a service behind has the
  // names of those that used the time up.
  std::optional<grpc::Status> Discreet(const grpc::Status& status) const;

  // End the context, unless it has ended; ContextOf still finds it. They run
  // callbacks of the context.

  // The handler has returned, or finished its reactor.
  void EndOfHandler();

  // The call was cancelled, or its connection lost; or it is over, where the
  // handler has returned.
  //
  // EndOfServerCall (call_outcome.h) tells whether the caller's deadline was
  // the reason.
  void EndOfCall();

  // An operation of the call failed, so the call is over as EndOfCall says.
  // When this returns, the context is done. Its callbacks run when EndOfCall or
  // EndOfHandler comes, and not here: this may be the handler's thread, which
  // reads and writes under locks that the callbacks want.
  void OperationFailed();

  // Ends the call for a handler that doesn't: its caller gets `status`,
  // whatever the handler waits for in gRPC fails, and so does what it tries
  // later. No effect on a call that is over.
  void Cut(const grpc::Status& status);

  bool IsOf(const ServerShared* shared) const {
    return shared_.get() == shared;
  }

  // The interceptor goes: ContextOf no longer finds it.
  void Forget();

  const Context& context() const { return context_; }

  static CallRegistry<ServerCall>& Registry();

 private:
  // How long the request may take, and what is said when that has passed.
  struct Budget;
  Budget BudgetOf(absl::Duration asked_for, const TimeLimits& policy) const;

  void ExtractValues(const ReceivedMetadata& metadata) noexcept;
  // Cuts the call in `delay` with what `status_of` says then.
  void CutIn(absl::Duration delay,
             absl::AnyInvocable<grpc::Status()> status_of);
  void TurnAway(grpc::ServerContextBase* server_context,
                absl::Duration asked_for, absl::Duration min_budget);
  // Somebody looks at the context: watches for the call's end, if need be in a
  // moment. A watch costs as much as a whole RPC with an empty handler, so
  // requests that are done within kWatchDelay have none. A caller who leaves
  // before that is noticed then: core ends a watch on an ended call at once.
  void Observed();
  void StartWatch();
  // The context has ended: nobody waits for the call's end any more.
  void DropWatch();
  // The call has ended: nobody needs it any more.
  void DropCall();
  // What OperationFailed left.
  void RunDeferredCallbacks();

  static constexpr absl::Duration kWatchDelay = absl::Milliseconds(2);

  const std::shared_ptr<ServerShared> shared_;
  absl::Duration slack_;  // see DeadlineSlack
  // Of gRPC's context, which may be gone: a key only.
  const void* address_ = nullptr;
  const void* rpc_ = nullptr;
  std::atomic<bool> handler_ended_{false};
  CancelFunc cancel_;
  // What cancel_ ends. Set before anybody can observe it, and never again,
  // since the watch may look at it while Begin is under way.
  Context scope_;
  Context context_;  // with the values

  // For the report; without one, null.
  const HopRecord* record_ = nullptr;                    // in context_
  absl::Duration time_left_ = absl::InfiniteDuration();  // on arrival
  int32_t previous_attempts_ = 0;

  Nanos arrival_ = 0;  // on the real clock

  // Something may have to Cut the call: then call_ is kept until the call has
  // ended, as far as that is known, and otherwise until the context has. (A
  // reply may be blocked after the handler returned.)
  bool may_be_cut_ = false;

  Mutex mutex_;
  // A reference.
  grpc_call* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool context_ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Delayed> delayed_watch_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Delayed> cut_ ABSL_GUARDED_BY(mutex_);
  DeferredCallbacks owed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_SERVER_CALL_H_
