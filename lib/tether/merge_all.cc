// SPDX-License-Identifier: Apache-2.0

#include "tether/merge_all.h"

#include <utility>

#include "absl/functional/any_invocable.h"
#include "tether/internal/rpc_context.h"

namespace tether {

MergeAll::MergeAll(const Context& base)
    : state_(std::make_shared<State>(base)) {}

MergeAll::~MergeAll() {
  const std::shared_ptr<State> state = state_;
  {
    std::list<Member> members;
    {
      internal::MutexLock lock(mutex_);
      members.swap(members_);
    }
  }
  state->shared.cancel();
}

bool MergeAll::Add(const Context& ctx) {
  // Everything that allocates comes first.
  std::list<Member> added(1);
  Member& member = added.front();
  absl::AnyInvocable<void()&&> on_end = [state = state_, ctx, &member] {
    member.over.store(true, std::memory_order_relaxed);
    state->OneEnded(ctx);
  };
  const std::shared_ptr<State> state = state_;
  {
    internal::MutexLock lock(state->mutex);
    if (state->ended) return false;
    ++state->living;
  }
  // No lock is held and `added` is still a local variable, since `on_end` may
  // run at once and destroy this object.
  member.registration.emplace(ctx, std::move(on_end));
  if (state->shared.ctx.Done()) return false;
  std::list<Member> over;
  internal::MutexLock lock(mutex_);
  for (auto it = members_.begin(); it != members_.end();) {
    const auto here = it++;
    if (here->over.load(std::memory_order_relaxed)) {
      over.splice(over.end(), members_, here);
    }
  }
  members_.splice(members_.end(), added);
  return true;
}

void MergeAll::State::OneEnded(const Context& member) {
  {
    internal::MutexLock lock(mutex);
    if (--living > 0) return;
    ended = true;
  }
  if (absl::IsDeadlineExceeded(member.Err())) {
    internal::Expire(shared.ctx, member.Cause());
  } else {
    shared.cancel(member.Cause());
  }
}

}  // namespace tether
