// SPDX-License-Identifier: Apache-2.0
//
// Channel<T>: a bounded queue between threads, or, with capacity 0, a
// rendezvous of two threads. Operations that block end when their context does,
// like Go's `select` on a channel and ctx.Done(). For several channels at once,
// see tether/select.h.
//
// A thread that blocks forever on an abandoned queue is a classic leak. Here
// every operation takes a context and returns when that ends, at the latest.

#ifndef TETHER_CHANNEL_H_
#define TETHER_CHANNEL_H_

#include <algorithm>
#include <cstddef>
#include <list>
#include <type_traits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/internal/blocked_op.h"
#include "tether/internal/error.h"
#include "tether/internal/mutex.h"

namespace tether {

// Any number of senders and receivers. Values are received in the order in
// which they were sent, each by one receiver.
//
// If several conditions are true at once, Send and Receive act on the first of:
//  1. The context has ended: they return Err(), and nothing is sent or
//     received. So an ended context can't use up room or values.
//  2. The operation is possible: Send finds room in an open channel, or Receive
//     finds a value, even in a closed channel.
//  3. The channel is closed.
//  4. Otherwise they block until one of these conditions is true. There is no
//     polling: the end of the context wakes the thread.
//
// Invariants:
//  1. While a thread is blocked in Receive, the channel is open and has no
//     value; while one is blocked in Send, it is open and full. A value or room
//     that appears is handed to the thread that has been blocked longest and
//     whose context has not ended. So nothing is lost between a wake-up and its
//     use.
//  2. No code of T runs under the channel's lock, and no code of tether that
//     takes other locks or runs callbacks. So T's move constructor and
//     destructor may use the channel.
//  3. Only an operation that has to block registers a callback with the
//     context; it unregisters it before it returns.
//
// T must be movable; it is never copied. If T's move constructor throws, Send
// throws before anything is sent; Receive throws, and the value is lost.
//
// Thread safety: any thread. The destructor requires, as for any object, that
// no operation is running or starts: Close() and join the threads first. Do not
// call Send or Receive in callbacks of AfterFunc: use TrySend and TryReceive.
// Lifetime: values that are still buffered are destroyed with the channel.
//
// Example (from examples/gen.cc):
//
//   tether::Channel<int> numbers(/*capacity=*/1);
//   auto [ctx, cancel] = tether::WithCancel(tether::Background());
//   std::thread generator([&numbers, ctx = ctx] {
//     for (int n = 1; numbers.Send(ctx, n).ok(); ++n) {
//     }
//   });
//   while (absl::StatusOr<int> n = numbers.Receive(ctx); n.ok()) {
//     if (*n == 5) break;
//   }
//   cancel();          // ends the Send that blocks
//   generator.join();
template <typename T>
class Channel {
 public:
  static_assert(std::is_move_constructible_v<T>, "Channel<T> moves its values");

  // The channel buffers up to `capacity` values. At 0 or less it buffers none:
  // each Send blocks until a Receive takes its value, as with Go's unbuffered
  // channels. Memory is allocated for buffered values, not for the capacity.
  explicit Channel(int capacity)
      : capacity_(static_cast<size_t>(std::max(capacity, 0))) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // Closes the channel, then destroys the values that are left.
  ~Channel();

  // Blocks while the channel is full. Returns
  //   OK                  the value is in the channel or has been received;
  //   ctx.Err()           `ctx` has ended;
  //   FailedPrecondition  "channel closed", before or during the call.
  // If it doesn't return OK, the value has been destroyed.
  absl::Status Send(const Context& ctx, T value);

  // Blocks while the channel is empty and open. Returns
  //   a value;
  //   ctx.Err()    `ctx` has ended;
  //   OutOfRange   "channel closed", and all values have been received.
  absl::StatusOr<T> Receive(const Context& ctx);

  // Like Send and Receive, but return at once, whether they were possible or
  // not. For threads that must not block: callbacks of AfterFunc, reactions of
  // gRPC's callback API, event loops. They need no context.
  //
  // TrySend returns
  //   OK                  the value is in the channel or has been received;
  //   ResourceExhausted   "channel full", or, without a buffer, no thread waits
  //                       to receive;
  //   FailedPrecondition  "channel closed".
  // If it doesn't return OK, the value has been destroyed. To keep it, use
  // TrySelect with a SendTo (select.h).
  //
  // TryReceive returns
  //   a value;
  //   Unavailable  "channel empty", and open;
  //   OutOfRange   "channel closed", and all values have been received.
  absl::Status TrySend(T value);
  absl::StatusOr<T> TryReceive();

  // Ends sending: blocked Sends fail. Buffered values can still be received.
  // May be called from any thread, any number of times.
  void Close();

 private:
  template <typename>
  friend class ReceiveFrom;
  template <typename>
  friend class SendTo;

  // A list, since splicing moves its elements between owners: they are
  // allocated, moved and freed outside the lock.
  using Values = std::list<T>;

  // An operation that may block. `values` holds the value to send, or the one
  // that was received.
  struct Waiting : internal::BlockedEntry {
    Values values;
    bool closed = false;  // it ended because the channel was closed
  };

  // One attempt each. True if the operation is over. Requires that `waiting` is
  // not queued.
  bool SendNow(Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool ReceiveNow(Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Calls try_it(). If that fails, blocks in `queue` until another thread has
  // completed the operation, or until `ctx` ends; then returns ctx.Err().
  template <typename TryIt>
  absl::Status Do(const Context& ctx, Waiting& waiting,
                  internal::BlockedQueue& queue, TryIt try_it);

  static absl::Status SendClosed() {
    return internal::ErrorOf(absl::StatusCode::kFailedPrecondition,
                             "channel closed");
  }
  static absl::Status ReceiveClosed() {
    return internal::ErrorOf(absl::StatusCode::kOutOfRange, "channel closed");
  }

  const size_t capacity_;
  internal::Mutex mutex_;
  Values values_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  internal::BlockedQueue senders_;    // guarded by mutex_
  internal::BlockedQueue receivers_;  // guarded by mutex_
};

// Implementation details only below.

template <typename T>
template <typename TryIt>
absl::Status Channel<T>::Do(const Context& ctx, Waiting& waiting,
                            internal::BlockedQueue& queue, TryIt try_it) {
  {
    internal::MutexLock lock(mutex_);
    if (try_it()) return absl::OkStatus();
  }
  internal::BlockedOp op;
  waiting.op = &op;
  op.WatchDeadline(ctx, internal::BlockedOp::kContextEnded);
  // Constructed and destroyed outside the lock.
  const Registration end = AfterFunc(
      ctx, [&op] { op.ClaimAndWake(internal::BlockedOp::kContextEnded); });
  {
    internal::MutexLock lock(mutex_);
    if (ctx.Done()) return ctx.Err();
    if (try_it()) return absl::OkStatus();
    queue.Push(waiting);
  }
  const int winner = op.Await();
  internal::MutexLock lock(mutex_);
  queue.Remove(waiting);
  return winner == internal::BlockedOp::kContextEnded ? ctx.Err()
                                                      : absl::OkStatus();
}

template <typename T>
absl::Status Channel<T>::Send(const Context& ctx, T value) {
  if (ctx.Done()) return ctx.Err();
  Waiting waiting;
  waiting.values.push_back(std::move(value));
  absl::Status status =
      Do(ctx, waiting, senders_,
         [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return SendNow(waiting); });
  return status.ok() && waiting.closed ? SendClosed() : status;
}

template <typename T>
absl::StatusOr<T> Channel<T>::Receive(const Context& ctx) {
  if (ctx.Done()) return ctx.Err();
  Waiting waiting;
  absl::Status status =
      Do(ctx, waiting, receivers_,
         [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ReceiveNow(waiting); });
  if (!status.ok()) return status;
  if (waiting.closed) return ReceiveClosed();
  return absl::StatusOr<T>(std::move(waiting.values.front()));
}

template <typename T>
absl::Status Channel<T>::TrySend(T value) {
  Waiting waiting;
  waiting.values.push_back(std::move(value));
  bool over = false;
  {
    internal::MutexLock lock(mutex_);
    over = SendNow(waiting);
  }
  if (waiting.closed) return SendClosed();
  return over ? absl::OkStatus()
              : internal::ErrorOf(absl::StatusCode::kResourceExhausted,
                                  "channel full");
}

template <typename T>
absl::StatusOr<T> Channel<T>::TryReceive() {
  Waiting waiting;
  bool over = false;
  {
    internal::MutexLock lock(mutex_);
    over = ReceiveNow(waiting);
  }
  if (waiting.closed) return ReceiveClosed();
  if (!over) {
    return internal::ErrorOf(absl::StatusCode::kUnavailable, "channel empty");
  }
  return absl::StatusOr<T>(std::move(waiting.values.front()));
}

template <typename T>
Channel<T>::~Channel() {
  Close();
  Values rest;
  internal::MutexLock lock(mutex_);
  rest.swap(values_);
}

template <typename T>
void Channel<T>::Close() {
  internal::MutexLock lock(mutex_);
  closed_ = true;
  for (internal::BlockedQueue* queue : {&senders_, &receivers_}) {
    while (internal::BlockedEntry* entry = queue->ClaimFirst()) {
      static_cast<Waiting*>(entry)->closed = true;
      entry->op->Wake();
    }
  }
}

template <typename T>
bool Channel<T>::SendNow(Waiting& waiting) {
  if (closed_) {
    waiting.closed = true;
    return true;
  }
  if (internal::BlockedEntry* entry = receivers_.ClaimFirst()) {
    auto* receiver = static_cast<Waiting*>(entry);
    receiver->values.splice(receiver->values.end(), waiting.values);
    entry->op->Wake();
    return true;
  }
  if (values_.size() >= capacity_) return false;
  values_.splice(values_.end(), waiting.values);
  return true;
}

template <typename T>
bool Channel<T>::ReceiveNow(Waiting& waiting) {
  const bool buffered = !values_.empty();
  if (buffered) {
    waiting.values.splice(waiting.values.end(), values_, values_.begin());
  }
  // There is room for the next sender; or, without a buffer, it waits for us.
  if (internal::BlockedEntry* entry = senders_.ClaimFirst()) {
    auto* sender = static_cast<Waiting*>(entry);
    Values& to = buffered ? values_ : waiting.values;
    to.splice(to.end(), sender->values);
    entry->op->Wake();
    return true;
  }
  if (buffered) return true;
  waiting.closed = closed_;
  return closed_;
}

}  // namespace tether

#endif  // TETHER_CHANNEL_H_
