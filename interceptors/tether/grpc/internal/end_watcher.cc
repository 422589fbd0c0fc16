// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/end_watcher.h"

#include <grpc/grpc_posix.h>
#include <grpc/slice.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <utility>

#include "tether/clock.h"
#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/grpc_version.h"

namespace tether::internal {

// A channel that sends nothing, for the child calls. If they need a transport,
// the channel uses one end of a socket pair, and nobody reads the other end.
// Otherwise it has an address to which no call ever makes it connect.
//
// (Not in an anonymous namespace, because EndWatcher::Queue has a member of
// this type.)
class IdleChannel {
 public:
  IdleChannel() {
    // Not listed with the application's own channels.
    grpc_arg args[] = {IntegerArg(GRPC_ARG_ENABLE_CHANNELZ, 0),
                       // The silent peer sends no settings.
                       IntegerArg("grpc.http2.settings_timeout",
                                  std::numeric_limits<int>::max())};
    const grpc_channel_args all = {2, args};
    grpc_channel_credentials* credentials = grpc_insecure_credentials_create();
    int ends[2];
    if (kChildCallsNeedTransport &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   ends) == 0) {
      peer_ = ends[1];
      channel_ =  // owns ends[0]
          grpc_channel_create_from_fd("tether", ends[0], credentials, &all);
    } else {
      channel_ = grpc_channel_create("ipv4:127.0.0.1:1", credentials, &all);
    }
    grpc_channel_credentials_release(credentials);
  }
  ~IdleChannel() {
    grpc_channel_destroy(channel_);
    if (peer_ >= 0) close(peer_);
  }
  IdleChannel(const IdleChannel&) = delete;
  IdleChannel& operator=(const IdleChannel&) = delete;

  grpc_channel* get() const { return channel_; }

 private:
  static grpc_arg IntegerArg(const char* key, int value) {
    grpc_arg arg;
    arg.type = GRPC_ARG_INTEGER;
    arg.key = const_cast<char*>(key);  // core copies it
    arg.value.integer = value;
    return arg;
  }

  grpc_channel* channel_ = nullptr;
  int peer_ = -1;
};

// One child call, from Watch to the event that it was cancelled.
struct EndWatcher::Child {
  explicit Child(absl::AnyInvocable<void() &&> fn) : on_end(std::move(fn)) {
    grpc_metadata_array_init(&trailing_metadata);
    CountEvent(RpcEvent::kWatchMade);
  }
  ~Child() {
    grpc_metadata_array_destroy(&trailing_metadata);
    grpc_slice_unref(status_details);
    grpc_call_unref(call);
    CountEvent(RpcEvent::kWatchGone);
  }

  absl::AnyInvocable<void() &&> on_end;
  grpc_call* call = nullptr;
  // Core writes the call's status here. Nobody reads it.
  grpc_metadata_array trailing_metadata;
  grpc_status_code status = GRPC_STATUS_OK;
  grpc_slice status_details = grpc_empty_slice();
};

// Outlives the watcher if the watcher is destroyed on its own thread.
struct EndWatcher::Queue {
  Queue() {
    grpc_init();
    // The calls do no I/O.
    const grpc_completion_queue_attributes attributes = {
        GRPC_CQ_CURRENT_VERSION, GRPC_CQ_NEXT,
        kWatchesPoll ? GRPC_CQ_DEFAULT_POLLING : GRPC_CQ_NON_POLLING, nullptr};
    cq = grpc_completion_queue_create(
        grpc_completion_queue_factory_lookup(&attributes), &attributes,
        nullptr);
    channel.emplace();
    waker = grpc_channel_create_call(
        channel->get(), nullptr, GRPC_PROPAGATE_DEFAULTS, cq,
        grpc_slice_from_static_string("/tether.EndWatcher/Wake"), nullptr,
        gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
  }
  ~Queue() {
    grpc_call_unref(waker);
    channel.reset();
    grpc_completion_queue_destroy(cq);
    grpc_shutdown();
  }

  void Run() {
    Nanos next = kLongPast;  // when to call RunDue
    for (;;) {
      if (next <= Clock::Real().SteadyNanos()) {
        next = delayed.RunDue(Clock::Real().SteadyNanos());
      }
      const grpc_event event =
          grpc_completion_queue_next(cq, TimeOf(next), nullptr);
      if (event.type == GRPC_QUEUE_SHUTDOWN) return;
      if (event.type == GRPC_QUEUE_TIMEOUT) continue;
      if (event.tag == this) {
        next = kLongPast;
        continue;
      }
      std::unique_ptr<Child> child(static_cast<Child*>(event.tag));
      {
        MutexLock lock(mutex);
        children.erase(child.get());
      }
      std::move(child->on_end)();
    }
  }

  // Wakes the thread: core completes an empty batch at once.
  void Wake() {
    (void)grpc_call_start_batch(waker, nullptr, 0, /*tag=*/this, nullptr);
  }

  // `when`, a time of Clock::Real(), on gRPC's clock.
  static gpr_timespec TimeOf(Nanos when) {
    if (when == kNever) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    const Nanos left = std::max<Nanos>(0, when - Clock::Real().SteadyNanos());
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos(left, GPR_TIMESPAN));
  }

  grpc_completion_queue* cq;
  std::optional<IdleChannel> channel;  // lives between grpc_init and _shutdown
  grpc_call* waker;                    // is never sent
  DelayQueue delayed{kDelay};
  Mutex mutex;
  absl::flat_hash_set<Child*> children ABSL_GUARDED_BY(mutex);
};

// Polls: a completion queue on which nothing ever happens. Shared with its
// thread, like Queue.
struct EndWatcher::Poller {
  Poller() {
    grpc_init();
    cq = grpc_completion_queue_create_for_next(nullptr);
  }
  ~Poller() {
    grpc_completion_queue_destroy(cq);
    grpc_shutdown();
  }

  void Run() {
    grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                               nullptr);
  }

  grpc_completion_queue* cq;
};

namespace {

struct WatcherOfProcess {
  Mutex mutex;
  std::weak_ptr<EndWatcher> watcher ABSL_GUARDED_BY(mutex);
  std::atomic<bool> polls{false};
};
WatcherOfProcess& TheProcess() {
  static WatcherOfProcess& process = *new WatcherOfProcess;
  return process;
}

// The thread of a watcher that is being destroyed.
void FinishThread(ServiceThread thread) {
  if (thread.IsThisThread()) {
    // The thread destroyed the last owner. It still holds the queue.
    thread.Detach();
  } else if (thread.started()) {
    thread.Join();
  }
}

}  // namespace

std::shared_ptr<EndWatcher> EndWatcher::Get() {
  WatcherOfProcess& process = TheProcess();
  MutexLock lock(process.mutex);
  std::shared_ptr<EndWatcher> watcher = process.watcher.lock();
  if (watcher == nullptr) {
    watcher.reset(new EndWatcher);
    process.watcher = watcher;
  }
  return watcher;
}

// A thread that starts the watcher's thread at the same time either finds
// `polls` set, or has started it when this takes the watcher's lock.
void EndWatcher::Poll() {
  WatcherOfProcess& process = TheProcess();
  if (process.polls.load(std::memory_order_relaxed) ||
      process.polls.exchange(true)) {
    return;
  }
  std::shared_ptr<EndWatcher> watcher;
  {
    MutexLock lock(process.mutex);
    watcher = process.watcher.lock();
  }
  if (watcher == nullptr) return;
  MutexLock lock(watcher->mutex_);
  if (watcher->thread_.started()) watcher->EnsurePoller();
}

EndWatcher::EndWatcher() : queue_(std::make_shared<Queue>()) {}

EndWatcher::~EndWatcher() {
  ServiceThread thread;
  ServiceThread polling_thread;
  std::shared_ptr<Poller> poller;
  {
    MutexLock lock(mutex_);
    thread = std::move(thread_);
    polling_thread = std::move(polling_thread_);
    poller = std::move(poller_);
  }
  if (poller != nullptr) grpc_completion_queue_shutdown(poller->cq);
  FinishThread(std::move(polling_thread));
  {
    // The parent calls may never end, so the child calls are cancelled.
    MutexLock lock(queue_->mutex);
    for (Child* child : queue_->children) {
      grpc_call_cancel(child->call, nullptr);
    }
  }
  grpc_completion_queue_shutdown(queue_->cq);
  if (!thread.started()) {
    // Drains the queue up to the shutdown event, as its destruction requires.
    queue_->Run();
  } else {
    FinishThread(std::move(thread));
  }
}

bool EndWatcher::EnsureThread() {
  if (thread_.started()) return true;
  (void)thread_.Start("tether-watch", [queue = queue_] { queue->Run(); });
  return false;
}

void EndWatcher::EnsurePoller() {
  if (kWatchesPoll || polling_thread_.started()) return;
  // If the thread can't be started, the next watch tries again.
  if (poller_ == nullptr) poller_ = std::make_shared<Poller>();
  (void)polling_thread_.Start("tether-poll",
                              [poller = poller_] { poller->Run(); });
}

void EndWatcher::WatchLater(DelayQueue::Entry& entry, Nanos now) {
  if (!queue_->delayed.Add(entry, now)) return;
  MutexLock lock(mutex_);
  if (EnsureThread()) {
    queue_->Wake();
  } else if (!thread_.started()) {
    queue_->delayed.StillAsleep();
  }
}

void EndWatcher::TakeBack(DelayQueue::Entry& entry) {
  queue_->delayed.Remove(entry);
}

void EndWatcher::Watch(grpc_call* call, absl::AnyInvocable<void() &&> on_end) {
  {
    MutexLock lock(mutex_);
    (void)EnsureThread();
    if (TheProcess().polls.load(std::memory_order_relaxed)) EnsurePoller();
  }
  auto* child = new Child(std::move(on_end));
  child->call = grpc_channel_create_call(
      queue_->channel->get(), call, GRPC_PROPAGATE_CANCELLATION, queue_->cq,
      grpc_slice_from_static_string("/tether.EndWatcher/Watch"), nullptr,
      gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
  grpc_op op = {};
  op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
  op.data.recv_status_on_client.trailing_metadata = &child->trailing_metadata;
  op.data.recv_status_on_client.status = &child->status;
  op.data.recv_status_on_client.status_details = &child->status_details;
  // Under the lock, because the event, which removes the child, may come at
  // once.
  MutexLock lock(queue_->mutex);
  const grpc_call_error error =
      grpc_call_start_batch(child->call, &op, 1, child, nullptr);
  if (error == GRPC_CALL_OK) {
    queue_->children.insert(child);
  } else {
    // Core doesn't allow this to happen. The call isn't watched then; its
    // deadline still holds.
    delete child;
  }
}

}  // namespace tether::internal
