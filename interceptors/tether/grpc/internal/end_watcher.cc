// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/end_watcher.h"

#include <grpc/grpc_posix.h>
#include <grpc/slice.h>
#include <sys/socket.h>
#include <unistd.h>

#include <limits>
#include <optional>
#include <utility>

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
    // The calls do no I/O, but the queue polls anyway: if the only thread of an
    // async server is busy in a handler, nobody else reads from its sockets.
    cq = grpc_completion_queue_create_for_next(nullptr);
    channel.emplace();
  }
  ~Queue() {
    channel.reset();
    grpc_completion_queue_destroy(cq);
    grpc_shutdown();
  }

  void Run() {
    for (;;) {
      const grpc_event event = grpc_completion_queue_next(
          cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
      if (event.type == GRPC_QUEUE_SHUTDOWN) return;
      std::unique_ptr<Child> child(static_cast<Child*>(event.tag));
      {
        MutexLock lock(mutex);
        children.erase(child.get());
      }
      std::move(child->on_end)();
    }
  }

  grpc_completion_queue* cq;
  std::optional<IdleChannel> channel;  // lives between grpc_init and _shutdown
  Mutex mutex;
  absl::flat_hash_set<Child*> children ABSL_GUARDED_BY(mutex);
};

std::shared_ptr<EndWatcher> EndWatcher::Get() {
  static Mutex& mutex = *new Mutex;
  static std::weak_ptr<EndWatcher>& current = *new std::weak_ptr<EndWatcher>;
  MutexLock lock(mutex);
  std::shared_ptr<EndWatcher> watcher = current.lock();
  if (watcher == nullptr) {
    watcher.reset(new EndWatcher);
    current = watcher;
  }
  return watcher;
}

EndWatcher::EndWatcher() : queue_(std::make_shared<Queue>()) {}

EndWatcher::~EndWatcher() {
  ServiceThread thread;
  {
    MutexLock lock(mutex_);
    thread = std::move(thread_);
  }
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
  } else if (thread.IsThisThread()) {
    // An on_end destroyed the last owner. The thread still holds the queue.
    thread.Detach();
  } else {
    thread.Join();
  }
}

void EndWatcher::Watch(grpc_call* call, absl::AnyInvocable<void() &&> on_end) {
  {
    MutexLock lock(mutex_);
    if (!thread_.started()) {
      // If it can't be started, the queue keeps the events for a later one.
      (void)thread_.Start("tether-watch", [queue = queue_] { queue->Run(); });
    }
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
