// SPDX-License-Identifier: Apache-2.0

#include "tether/context.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tether/after_func.h"
#include "tether/clock.h"
#include "tether/internal/clock_of.h"
#include "tether/internal/make_child.h"
#include "tether/internal/mutex.h"
#include "tether/internal/nanos.h"
#include "tether/internal/real_timer_service.h"
#include "tether/internal/scope.h"
#include "tether/internal/scope_end.h"

namespace tether {

using internal::ContextAccess;
using internal::DeadlineOf;
using internal::kNever;
using internal::LinkNewScope;
using internal::Nanos;
using internal::Node;
using internal::NodeKind;
using internal::Scope;
using internal::WithSteadyDeadline;

namespace {

Nanos NowOf(const Context& ctx) {
  return internal::ClockOf(ContextAccess::NodeOf(ctx)).SteadyNanos();
}

// Gives `scope` the deadline of `other` if that is earlier than its own. A
// deadline on another clock is ignored: neither its time nor the time left
// until it means anything on the clock of `scope`.
void InheritDeadline(internal::MergeScope* scope, const Context& other) {
  const Node* node = ContextAccess::NodeOf(other);
  const Clock& clock = internal::ClockOf(scope);
  if (DeadlineOf(node) >= scope->deadline ||
      &clock != &internal::ClockOf(node)) {
    return;
  }
  const internal::DeadlineScope* owner = node->scope->deadline_owner;
  scope->SetDeadline(owner->deadline, clock.SteadyNanos(),
                     owner->deadline_cause);
  scope->wall_offset.store(owner->WallOffset(), std::memory_order_relaxed);
}

// Blocks until `ctx` is done or its clock has reached `limit`.
//
// On the machine's clock, the waiting thread itself watches the time. So the
// wait ends in time even if the timer thread does not exist (after exit() has
// begun, in a forked child, or because it could not be started), and on the
// thread that runs the callbacks of deadlines. Any other clock only moves when
// a test moves it, which also fires the timers.
void BlockUntil(const Context& ctx, Nanos limit) {
  Node* node = ContextAccess::NodeOf(ctx);
  const bool real = &internal::ClockOf(node) == &Clock::Real();
  Cancellable limited{ctx, {}};
  if (!real && limit != kNever) {
    limited = WithSteadyDeadline(ctx, limit, NowOf(ctx),
                                 internal::DeadlineScope::kUnknownOffset,
                                 absl::OkStatus());
  }
  const Nanos until = real ? std::min(limit, DeadlineOf(node)) : kNever;
  internal::Mutex mutex;
  internal::CondVar ended;
  bool done = false;
  const Registration registration(limited.ctx, [&] {
    internal::MutexLock lock(mutex);
    done = true;
    ended.NotifyOne();
  });
  {
    internal::MutexLock lock(mutex);
    while (!done) {
      if (until == kNever) {
        ended.Wait(mutex);
      } else if (internal::RealSteadyNanos() < until) {
        ended.WaitUntil(mutex, std::chrono::steady_clock::time_point(
                                   std::chrono::nanoseconds(until)));
      } else {
        break;
      }
    }
  }
  // If the deadline has passed, this makes Done() true, even if the timer
  // thread is late.
  if (until == DeadlineOf(node)) (void)ctx.Remaining();
}

std::string Describe(const Node* last, bool within_merge);

// A scope that has a deadline of its own, or is the context of a server's
// request, which may have none.
std::string DescribeDeadline(const internal::DeadlineScope* scope) {
  if (scope->deadline_owner != scope) return ".WithCancel";
  const absl::Duration left =
      absl::Nanoseconds(scope->deadline) -
      absl::Nanoseconds(internal::ClockOf(scope).SteadyNanos());
  return absl::StrCat(
      ".WithDeadline(",
      absl::FormatTime(scope->WallDeadline(), absl::UTCTimeZone()), " [",
      absl::FormatDuration(left), "])");
}

// One node of a chain.
std::string DescribeNode(const Node* node, bool within_merge) {
  switch (node->kind) {
    case NodeKind::kBackground:
      return "Background";
    case NodeKind::kTodo:
      return "Todo";
    case NodeKind::kValue:
      return absl::StrCat(
          ".WithValue(",
          static_cast<const internal::ValueNode*>(node)->key->name, ")");
    case NodeKind::kDetached:
      return ".WithoutCancel";
    case NodeKind::kCancel:
      return ".WithCancel";
    case NodeKind::kDeadline:
    case NodeKind::kLazy:
      return DescribeDeadline(
          static_cast<const internal::DeadlineScope*>(node));
    case NodeKind::kMerge:
      if (within_merge) return ".Merge(…)";
      return absl::StrCat(
          ".Merge(",
          Describe(static_cast<const internal::MergeScope*>(node)->other,
                   /*within_merge=*/true),
          ")");
  }
  return "";  // unreachable
}

// The chain that ends with `last`. In the other chain of a merge, further
// merges are not followed: the text of shared chains would double with each.
std::string Describe(const Node* last, bool within_merge) {
  std::vector<const Node*> chain;
  for (const Node* n = last; n != nullptr; n = n->parent) chain.push_back(n);
  std::string out;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    out += DescribeNode(*it, within_merge);
  }
  return out;
}

}  // namespace

absl::Time Context::Deadline() const {
  if (DeadlineOf(node_) == kNever) return absl::InfiniteFuture();
  return node_->scope->deadline_owner->WallDeadline();
}

absl::Duration Context::Remaining() const {
  const Nanos deadline = DeadlineOf(node_);
  if (deadline == kNever) return absl::InfiniteDuration();
  // As durations: the difference of two int64_t may not fit in one.
  const absl::Duration left =
      absl::Nanoseconds(deadline) -
      absl::Nanoseconds(internal::ClockOf(node_).SteadyNanos());
  if (left <= absl::ZeroDuration()) internal::DeadlineSeenPassed(node_->scope);
  return left;
}

absl::Status Context::Err() const {
  if (node_->scope == nullptr) return absl::OkStatus();
  return internal::StatusOf(internal::ReasonOf(node_->scope).how);
}

absl::Status Context::Cause() const {
  if (node_->scope == nullptr) return absl::OkStatus();
  internal::Reason reason = internal::ReasonOf(node_->scope);
  return reason.cause.ok() ? internal::StatusOf(reason.how)
                           : std::move(reason.cause);
}

void Context::Wait() const { BlockUntil(*this, kNever); }

bool Context::WaitFor(absl::Duration timeout) const {
  if (timeout > absl::ZeroDuration() && !Done()) {
    BlockUntil(*this, internal::AddNanos(NowOf(*this),
                                         absl::ToInt64Nanoseconds(timeout)));
  }
  return Done();
}

bool Context::WaitUntil(absl::Time time) const {
  if (!Done()) {
    const Clock& clock = internal::ClockOf(node_);
    const Nanos now = clock.SteadyNanos();
    BlockUntil(*this, internal::AddNanos(
                          now, absl::ToInt64Nanoseconds(time - clock.Now())));
  }
  return Done();
}

std::string Context::DebugString() const {
  return Describe(node_, /*within_merge=*/false);
}

CancelFunc& CancelFunc::operator=(CancelFunc&& other) noexcept {
  if (this == &other) return *this;
  // The destructor of `old` ends the old scope, after the last access to this
  // object: callbacks may assign to it again or destroy it.
  CancelFunc& self = *this;
  const CancelFunc old = std::move(*this);
  scope_ = std::exchange(other.scope_, nullptr);
  called_.store(other.called_.load(std::memory_order_relaxed),
                std::memory_order_relaxed);
  return self;
}

void CancelFunc::Cancel(const absl::Status& cause) const {
  if (scope_ == nullptr) return;
  if (!internal::EndScope(scope_, internal::kCancelled, cause)) {
    called_.store(true, std::memory_order_relaxed);
  }  // else a callback may have destroyed this
}

void CancelFunc::Reset() {
  Scope* scope = std::exchange(scope_, nullptr);
  if (scope == nullptr) return;
  if (!called_.load(std::memory_order_relaxed)) {
    internal::EndScope(scope, internal::kCancelled, absl::OkStatus());
  }
  internal::Unref(scope);
}

Context Background(Clock& clock) {
  return ContextAccess::MakeContext(internal::ClockAccess::Root(clock));
}

Context Todo() { return ContextAccess::MakeContext(&internal::todo_node); }

NewCancellable WithCancel(const Context& parent) {
  return LinkNewScope(
      new Scope(NodeKind::kCancel, ContextAccess::NodeOf(parent)));
}

NewCancellable WithDeadline(const Context& parent, absl::Time deadline,
                            absl::Status cause) {
  Clock& clock = internal::ClockOf(ContextAccess::NodeOf(parent));
  const Nanos now = clock.SteadyNanos();
  const absl::Time wall_now = clock.Now();
  return WithSteadyDeadline(
      parent,
      internal::AddNanos(now, absl::ToInt64Nanoseconds(deadline - wall_now)),
      now, absl::ToUnixNanos(wall_now) - now, std::move(cause));
}

NewCancellable WithTimeout(const Context& parent, absl::Duration timeout,
                           absl::Status cause) {
  const Nanos now = NowOf(parent);
  return WithSteadyDeadline(
      parent, internal::AddNanos(now, absl::ToInt64Nanoseconds(timeout)), now,
      internal::DeadlineScope::kUnknownOffset, std::move(cause));
}

Context WithoutCancel(const Context& parent) {
  Node* node = new Node(NodeKind::kDetached, ContextAccess::NodeOf(parent));
  node->scope = nullptr;
  return ContextAccess::MakeContext(node);
}

NewCancellable Merge(const Context& primary, const Context& other) {
  Node* other_node = ContextAccess::NodeOf(other);
  auto* scope =
      new internal::MergeScope(ContextAccess::NodeOf(primary), other_node);
  if (Scope* other_scope = other_node->scope) {
    InheritDeadline(scope, other);
    // If `primary` is done already, it is the reason: LinkNewScope ends the
    // merge for it.
    if (!primary.Done() && !internal::AddObserver(other_scope, &scope->hook)) {
      internal::EndAtBirth(scope, internal::ReasonOf(other_scope));
    }
  }
  return LinkNewScope(scope);
}

}  // namespace tether
