// Channel<T>: a bounded queue between threads, or with capacity 0 a place where
// they meet, whose blocking ends with a context, as Go's `select` on a channel
// and ctx.Done(). For several channels at once: tether/select.h.
//
// A thread that blocks on a queue which nobody fills or empties any more is
// this field's classic leak. Here each operation takes the context that it
// works for, and ends, at the latest, when that does.

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
// What wins when several things are true at once, for Send and Receive alike:
//  1. The context has ended: Err(), and nothing is sent or received. This is
//     checked first, so that an ended context can't use up room or values.
//  2. The operation is possible: there is room in an open channel, or there is
//     a value, in an open channel or a closed one.
//  3. The channel is closed.
//  4. Otherwise the operation blocks, until one of the above holds. There is no
//     polling: the end of the context wakes it.
//
// Invariants:
//  1. Where threads are blocked in Receive, no value waits and the channel is
//     open; in Send, there is no room, and it is open. Whoever brings a value,
//     or makes room, hands it to the thread that has been blocked longest and
//     whose context has not ended; so nothing is lost between a wake and its
//     use.
//  2. No code of T runs under the channel's lock, nor does any of tether's that
//     takes locks and runs callbacks. So T may use the channel in its move
//     constructor and its destructor.
//  3. A callback is registered with the context only by an operation that has
//     to block, and is gone when the operation returns.
//
// T is movable; copies are never made. Where T's move constructor throws, Send
// throws before anything is sent; Receive throws, and the value is lost.
//
// Thread safety: any thread, except for the destructor: no operation may be
// under way or start then, as with any object. Close() first, and join.
// Blocking calls are not for callbacks of AfterFunc. Lifetime: what is still
// buffered is destroyed with the channel.
//
// Example (examples/gen.cc has it whole):
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

  // Up to `capacity` values wait in the channel. At 0 (less is taken as 0) none
  // does: each Send blocks until a Receive takes its value, as with Go's
  // unbuffered channels. Memory is taken for the values that wait, not for the
  // capacity.
  explicit Channel(int capacity)
      : capacity_(static_cast<size_t>(std::max(capacity, 0))) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // The destructors of the values that are left find the channel closed.
  ~Channel();

  // Blocks while the channel is full. Returns
  //   OK                  the value is in the channel, or with a receiver;
  //   ctx.Err()           `ctx` has ended;
  //   FailedPrecondition  "channel closed": it was, or was while this blocked.
  // Unless OK, the value has been destroyed.
  absl::Status Send(const Context& ctx, T value);

  // Blocks while the channel is empty and open. Returns
  //   a value;
  //   ctx.Err()    `ctx` has ended;
  //   OutOfRange   "channel closed": it is, and all that was sent is received.
  absl::StatusOr<T> Receive(const Context& ctx);

  // No more values will be sent. Those that wait can still be received; Sends
  // that block fail. Any thread, any number of times.
  void Close();

 private:
  template <typename>
  friend class ReceiveFrom;
  template <typename>
  friend class SendTo;

  // A list, since its elements change hands by splicing: allocated, moved and
  // freed outside the lock.
  using Values = std::list<T>;

  // An operation that may block: what it sends, or has received.
  struct Waiting : internal::BlockedEntry {
    Values values;
    bool closed = false;  // it ended because the channel was closed
  };

  // One attempt each: true when the operation is over. `waiting` isn't queued.
  bool TrySend(Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TryReceive(Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Does what try_it() does, or blocks in `queue` until another thread has done
  // it, or until `ctx` ends: then returns its Err().
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
  // Not to be made or destroyed under the lock.
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
         [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return TrySend(waiting); });
  return status.ok() && waiting.closed ? SendClosed() : status;
}

template <typename T>
absl::StatusOr<T> Channel<T>::Receive(const Context& ctx) {
  if (ctx.Done()) return ctx.Err();
  Waiting waiting;
  absl::Status status =
      Do(ctx, waiting, receivers_,
         [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return TryReceive(waiting); });
  if (!status.ok()) return status;
  if (waiting.closed) return ReceiveClosed();
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
bool Channel<T>::TrySend(Waiting& waiting) {
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
bool Channel<T>::TryReceive(Waiting& waiting) {
  const bool buffered = !values_.empty();
  if (buffered) {
    waiting.values.splice(waiting.values.end(), values_, values_.begin());
  }
  // There is room now; or, without a buffer, somebody who waits for us.
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
