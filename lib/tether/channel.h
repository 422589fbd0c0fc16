// Channel<T>: a bounded queue between threads whose blocking ends with a
// context, as Go's `select` on a channel and ctx.Done().
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
#include "tether/internal/error.h"
#include "tether/internal/mutex.h"
#include "tether/internal/wait_queue.h"

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
//  1. A wake is never lost: a thread that is woken by a value, or by room,
//     uses it or wakes the next one.
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

  // Up to `capacity` values wait in the channel; 0 and less are taken as 1.
  // Memory is taken for the values that wait, not for the capacity.
  explicit Channel(int capacity)
      : capacity_(static_cast<size_t>(std::max(capacity, 1))) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // The destructors of the values that are left find the channel closed.
  ~Channel();

  // Blocks while the channel is full. Returns
  //   OK                  the value is in the channel;
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
  using Values = std::list<T>;

  // One attempt each: true when the operation is over, with `result`. TrySend
  // takes the value out of `node`, TryReceive puts one into it.
  bool TrySend(Values& node, absl::Status& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TryReceive(Values& node, absl::Status& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Wakes `waiter` when `ctx` ends. Not to be made or destroyed under the lock,
  // which the callback takes.
  Registration WakeAtEndOf(const Context& ctx, internal::Waiter& waiter) {
    return AfterFunc(ctx, [this, &waiter] {
      internal::MutexLock lock(mutex_);
      waiter.Wake();
    });
  }

  const size_t capacity_;
  internal::Mutex mutex_;
  // A list, since its elements change hands by splicing: allocated, moved and
  // freed outside the lock.
  Values values_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  internal::WaitQueue senders_ ABSL_GUARDED_BY(mutex_);
  internal::WaitQueue receivers_ ABSL_GUARDED_BY(mutex_);
};

// Implementation details only below.

template <typename T>
absl::Status Channel<T>::Send(const Context& ctx, T value) {
  if (ctx.Done()) return ctx.Err();
  Values node;
  node.push_back(std::move(value));
  absl::Status result;
  {
    internal::MutexLock lock(mutex_);
    if (TrySend(node, result)) return result;
  }
  internal::Waiter waiter;
  const Registration wake = WakeAtEndOf(ctx, waiter);
  internal::MutexLock lock(mutex_);
  for (;;) {
    if (ctx.Done()) {
      if (values_.size() < capacity_) senders_.WakeOne();
      return ctx.Err();
    }
    if (TrySend(node, result)) return result;
    senders_.Wait(mutex_, waiter);
  }
}

template <typename T>
absl::StatusOr<T> Channel<T>::Receive(const Context& ctx) {
  if (ctx.Done()) return ctx.Err();
  Values node;
  absl::Status result;
  bool over;
  {
    internal::MutexLock lock(mutex_);
    over = TryReceive(node, result);
  }
  if (!over) {
    internal::Waiter waiter;
    const Registration wake = WakeAtEndOf(ctx, waiter);
    internal::MutexLock lock(mutex_);
    for (;;) {
      if (ctx.Done()) {
        if (!values_.empty()) receivers_.WakeOne();
        return ctx.Err();
      }
      if (TryReceive(node, result)) break;
      receivers_.Wait(mutex_, waiter);
    }
  }
  if (!result.ok()) return result;
  return absl::StatusOr<T>(std::move(node.front()));
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
  senders_.WakeAll();
  receivers_.WakeAll();
}

template <typename T>
bool Channel<T>::TrySend(Values& node, absl::Status& result) {
  if (closed_) {
    result = internal::ErrorOf(absl::StatusCode::kFailedPrecondition,
                               "channel closed");
    return true;
  }
  if (values_.size() >= capacity_) return false;
  values_.splice(values_.end(), node);
  receivers_.WakeOne();
  return true;
}

template <typename T>
bool Channel<T>::TryReceive(Values& node, absl::Status& result) {
  if (!values_.empty()) {
    node.splice(node.end(), values_, values_.begin());
    senders_.WakeOne();
    return true;
  }
  if (closed_) {
    result = internal::ErrorOf(absl::StatusCode::kOutOfRange, "channel closed");
    return true;
  }
  return false;
}

}  // namespace tether

#endif  // TETHER_CHANNEL_H_
