// SPDX-License-Identifier: Apache-2.0

#include "tether/select.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

namespace tether {

void EndOf::Watch(internal::BlockedOp& op, int index) {
  op.WatchDeadline(ctx_, index);
  registration_.emplace(ctx_, [&op, index] { op.ClaimAndWake(index); });
}

namespace internal {

// The cases of one Select, and the locks of their channels. The locks are taken
// in the order of their addresses, which prevents deadlocks.
class Selection {
 public:
  explicit Selection(std::initializer_list<SelectCase*> cases) : cases_(cases) {
    for (SelectCase* c : cases_) {
      c->Reset();
      if (Mutex* mutex = c->mutex()) mutexes_.push_back(mutex);
    }
    std::sort(mutexes_.begin(), mutexes_.end(), std::less<Mutex*>());
    mutexes_.erase(std::unique(mutexes_.begin(), mutexes_.end()),
                   mutexes_.end());
    static std::atomic<uint32_t> seeds{1};
    thread_local std::minstd_rand random(seeds.fetch_add(0x9E3779B9u));
    for (size_t i = 0; i < cases_.size(); ++i) {
      order_.push_back(static_cast<int>(i));
    }
    std::shuffle(order_.begin(), order_.end(), random);
  }
  ~Selection() {
    for (SelectCase* c : cases_) c->Unwatch();
  }
  Selection(const Selection&) = delete;
  Selection& operator=(const Selection&) = delete;

  void Lock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (Mutex* mutex : mutexes_) mutex->lock();
  }
  void Unlock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (Mutex* mutex : mutexes_) mutex->unlock();
  }

  // Call all of these except Watch with the locks held.
  std::optional<int> Try() {
    for (const int i : order_) {
      if (cases_[static_cast<size_t>(i)]->Try()) return i;
    }
    return std::nullopt;
  }
  void Enqueue(BlockedOp& op) {
    for (size_t i = 0; i < cases_.size(); ++i) {
      cases_[i]->Enqueue(op, static_cast<int>(i));
    }
  }
  void Dequeue() {
    for (SelectCase* c : cases_) c->Dequeue();
  }
  void Watch(BlockedOp& op) {
    for (size_t i = 0; i < cases_.size(); ++i) {
      cases_[i]->Watch(op, static_cast<int>(i));
    }
  }

 private:
  const std::vector<SelectCase*> cases_;
  std::vector<Mutex*> mutexes_;
  std::vector<int> order_;
};

}  // namespace internal

absl::StatusOr<int> Select(const Context& ctx,
                           std::initializer_list<SelectCase*> cases) {
  if (ctx.Done()) return ctx.Err();
  internal::BlockedOp op;  // outlives the callbacks that may claim it
  internal::Selection selection(cases);
  selection.Lock();
  std::optional<int> chosen = selection.Try();
  selection.Unlock();
  if (chosen.has_value()) return *chosen;
  op.WatchDeadline(ctx, internal::BlockedOp::kContextEnded);
  const Registration end = AfterFunc(
      ctx, [&op] { op.ClaimAndWake(internal::BlockedOp::kContextEnded); });
  selection.Watch(op);
  selection.Lock();
  const bool ended = ctx.Done();
  if (!ended) chosen = selection.Try();
  if (!ended && !chosen.has_value()) selection.Enqueue(op);
  selection.Unlock();
  if (ended) return ctx.Err();
  if (chosen.has_value()) return *chosen;
  const int winner = op.Await();
  selection.Lock();
  selection.Dequeue();
  selection.Unlock();
  if (winner == internal::BlockedOp::kContextEnded) return ctx.Err();
  return winner;
}

std::optional<int> TrySelect(std::initializer_list<SelectCase*> cases) {
  internal::Selection selection(cases);
  selection.Lock();
  const std::optional<int> chosen = selection.Try();
  selection.Unlock();
  return chosen;
}

}  // namespace tether
