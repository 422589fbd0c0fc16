// Select: blocks until one of several channels can go on, or a context ends, as
// Go's `select`.
//
//   tether::ReceiveFrom<Job> job(jobs);
//   tether::SendTo<Report> report(reports, MakeReport());
//   tether::EndOf draining(drain_ctx);
//   absl::StatusOr<int> which = tether::Select(ctx, {&job, &report,
//   &draining}); if (!which.ok()) return which.status();  // ctx has ended if
//   (*which == 0) Run(job.Take());        // the first of them: a value came
//
// TrySelect is the same with Go's `default`.

#ifndef TETHER_SELECT_H_
#define TETHER_SELECT_H_

#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/internal/blocked_op.h"
#include "tether/internal/error.h"
#include "tether/internal/mutex.h"

namespace tether {

namespace internal {
class Selection;
}

// One of the things that Select waits for: a ReceiveFrom, SendTo or EndOf. It
// is used by one thread, in one Select at a time; afterwards it may be used
// again.
class TETHER_EXPORT SelectCase {
 public:
  SelectCase() = default;
  SelectCase(const SelectCase&) = delete;
  SelectCase& operator=(const SelectCase&) = delete;
  virtual ~SelectCase() = default;

 private:
  friend class internal::Selection;

  // The lock of the channel; null: there is none.
  virtual internal::Mutex* mutex() { return nullptr; }
  // Forgets what an earlier Select did. Without any lock.
  virtual void Reset() {}
  // Under the lock. Does it, if that is possible now.
  virtual bool Try() = 0;
  virtual void Enqueue(internal::BlockedOp& op, int index) = 0;
  virtual void Dequeue() {}
  // Without any lock.
  virtual void Watch(internal::BlockedOp&, int) {}
  virtual void Unwatch() {}
};

// Waits for `ctx` to end, or for the first case that is possible, does that and
// nothing of the others, and returns its index. Of several that are possible at
// once one is chosen at random, each as likely as the others. A closed channel
// is possible at once: see Take() and status().
//
// Returns ctx.Err() where `ctx` has ended: that is checked first, and nothing
// is done then. Without cases it waits for that alone.
//
// A value is never lost, nor received twice: what a case didn't do has not
// happened. Threads blocked in Select, Send and Receive are served in the order
// in which they came, and may meet one another, also on channels without a
// buffer. No polling.
//
// Thread safety: any thread. A channel may stand in several cases. Not in
// callbacks of AfterFunc. Where memory runs out it throws, and has done
// nothing.
[[nodiscard]] TETHER_EXPORT absl::StatusOr<int> Select(
    const Context& ctx, std::initializer_list<SelectCase*> cases);

// As Select, but doesn't block: nullopt where no case is possible now.
[[nodiscard]] TETHER_EXPORT std::optional<int> TrySelect(
    std::initializer_list<SelectCase*> cases);

// Receives a value from `channel`, which must outlive it.
template <typename T>
class ReceiveFrom final : public SelectCase {
 public:
  explicit ReceiveFrom(Channel<T>& channel) : channel_(channel) {}

  // After a Select that chose this: the value, once; or OUT_OF_RANGE "channel
  // closed". Otherwise FAILED_PRECONDITION.
  absl::StatusOr<T> Take() {
    if (waiting_.closed) return Channel<T>::ReceiveClosed();
    if (waiting_.values.empty()) {
      return internal::ErrorOf(absl::StatusCode::kFailedPrecondition,
                               "nothing was received");
    }
    typename Channel<T>::Values taken;
    taken.swap(waiting_.values);
    return absl::StatusOr<T>(std::move(taken.front()));
  }

 private:
  internal::Mutex* mutex() override { return &channel_.mutex_; }
  void Reset() override {
    waiting_.values.clear();
    waiting_.closed = false;
  }
  bool Try() ABSL_NO_THREAD_SAFETY_ANALYSIS override {
    return channel_.TryReceive(waiting_);
  }
  void Enqueue(internal::BlockedOp& op, int index) override {
    waiting_.op = &op;
    waiting_.index = index;
    channel_.receivers_.Push(waiting_);
  }
  void Dequeue() override { channel_.receivers_.Remove(waiting_); }

  Channel<T>& channel_;
  typename Channel<T>::Waiting waiting_;
};

// Sends `value` to `channel`, which must outlive it.
template <typename T>
class SendTo final : public SelectCase {
 public:
  SendTo(Channel<T>& channel, T value) : channel_(channel) {
    waiting_.values.push_back(std::move(value));
  }

  // After a Select that chose this: OK, or FAILED_PRECONDITION "channel
  // closed", as Send. Before that it is OK.
  absl::Status status() const {
    return waiting_.closed ? Channel<T>::SendClosed() : absl::OkStatus();
  }

  // The next value to send. It replaces one that wasn't sent; without a value,
  // it is never possible.
  void Set(T value) {
    typename Channel<T>::Values values;
    values.push_back(std::move(value));
    values.swap(waiting_.values);
  }

 private:
  internal::Mutex* mutex() override { return &channel_.mutex_; }
  void Reset() override { waiting_.closed = false; }
  bool Try() ABSL_NO_THREAD_SAFETY_ANALYSIS override {
    return !waiting_.values.empty() && channel_.TrySend(waiting_);
  }
  void Enqueue(internal::BlockedOp& op, int index) override {
    if (waiting_.values.empty()) return;
    waiting_.op = &op;
    waiting_.index = index;
    channel_.senders_.Push(waiting_);
  }
  void Dequeue() override { channel_.senders_.Remove(waiting_); }

  Channel<T>& channel_;
  typename Channel<T>::Waiting waiting_;
};

// The end of another context.
class TETHER_EXPORT EndOf final : public SelectCase {
 public:
  explicit EndOf(Context ctx) : ctx_(std::move(ctx)) {}

 private:
  bool Try() override { return ctx_.Done(); }
  void Enqueue(internal::BlockedOp&, int) override {}
  void Watch(internal::BlockedOp& op, int index) override;
  void Unwatch() override { registration_.reset(); }

  const Context ctx_;
  std::optional<Registration> registration_;
};

}  // namespace tether

#endif  // TETHER_SELECT_H_
