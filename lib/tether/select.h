// SPDX-License-Identifier: Apache-2.0
//
// Select: blocks until one of several channels is ready or a context ends, like
// Go's `select`.
//
//   tether::ReceiveFrom<Job> job(jobs);
//   tether::SendTo<Report> report(reports, MakeReport());
//   tether::EndOf draining(drain_ctx);
//   absl::StatusOr<int> chosen =
//       tether::Select(ctx, {&job, &report, &draining});
//   if (!chosen.ok()) return chosen.status();  // ctx has ended
//   if (*chosen == 0) Run(job.Take());         // the first case: a value came
//
// TrySelect is like Go's `select` with a `default`.

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

// A case of Select: a ReceiveFrom, SendTo or EndOf. Use it in one Select at a
// time, on one thread. It may be used again afterwards.
class TETHER_EXPORT SelectCase {
 public:
  SelectCase() = default;
  SelectCase(const SelectCase&) = delete;
  SelectCase& operator=(const SelectCase&) = delete;
  virtual ~SelectCase() = default;

 private:
  friend class internal::Selection;

  // The channel's lock, or null if the case has no channel.
  virtual internal::Mutex* mutex() { return nullptr; }
  // Clears the result of an earlier Select. Called without any lock.
  virtual void Reset() {}
  // Completes the case if that is possible now. Called under the lock, as are
  // the next two.
  virtual bool Try() = 0;
  virtual void Enqueue(internal::BlockedOp& op, int index) = 0;
  virtual void Dequeue() {}
  // Called without any lock.
  virtual void Watch(internal::BlockedOp&, int) {}
  virtual void Unwatch() {}
};

// Blocks until a case is possible, completes that case and no other, and
// returns its index. If several are possible at once, it chooses one at random,
// with equal probability. Cases on a closed channel are possible at once: see
// Take() and status().
//
// Returns ctx.Err() if `ctx` has ended, which is checked first; no case is
// completed then. Without cases, it waits for the end of `ctx`.
//
// No value is lost or received twice: cases that were not chosen have no
// effect. Threads blocked in Select, Send and Receive are served in the order
// of their arrival, and can serve each other, also on unbuffered channels. No
// polling.
//
// Thread safety: any thread, but do not call it in callbacks of AfterFunc. A
// channel may be used in several cases. If it runs out of memory, it throws and
// has no effect.
[[nodiscard]] TETHER_EXPORT absl::StatusOr<int> Select(
    const Context& ctx, std::initializer_list<SelectCase*> cases);

// Like Select, but doesn't block: returns nullopt if no case is possible now.
[[nodiscard]] TETHER_EXPORT std::optional<int> TrySelect(
    std::initializer_list<SelectCase*> cases);

// Receives a value from `channel`, which must outlive it.
template <typename T>
class ReceiveFrom final : public SelectCase {
 public:
  explicit ReceiveFrom(Channel<T>& channel) : channel_(channel) {}

  // After a Select that chose this case, returns the value once, or
  // OUT_OF_RANGE "channel closed". Otherwise returns FAILED_PRECONDITION.
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
    return channel_.ReceiveNow(waiting_);
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

  // After a Select that chose this case: OK, or FAILED_PRECONDITION "channel
  // closed", like Send. OK before that.
  absl::Status status() const {
    return waiting_.closed ? Channel<T>::SendClosed() : absl::OkStatus();
  }

  // Sets the next value to send, replacing one that has not been sent. A case
  // without a value is never possible.
  void Set(T value) {
    typename Channel<T>::Values values;
    values.push_back(std::move(value));
    values.swap(waiting_.values);
  }

 private:
  internal::Mutex* mutex() override { return &channel_.mutex_; }
  void Reset() override { waiting_.closed = false; }
  bool Try() ABSL_NO_THREAD_SAFETY_ANALYSIS override {
    return !waiting_.values.empty() && channel_.SendNow(waiting_);
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

// A case that is possible when another context has ended.
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
