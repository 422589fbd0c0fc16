// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/server_state.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "tether/clock.h"
#include "tether/context.h"
#include "tether/grpc/internal/server_call.h"
#include "tether/grpc/status.h"
#include "tether/internal/clock_of.h"
#include "tether/propagation/default.h"
#include "tether/propagation/edge.h"

namespace tether::internal {
namespace {

// One for each of some threads.
Spread<Cancellable> ParentsOfRequests(const Context& base_context) {
  const bool is_root = ContextAccess::NodeOf(base_context)->is_root();
  return Spread<Cancellable>([&]() -> Cancellable {
    if (is_root) return Cancellable{base_context, {}};
    return WithCancel(base_context);
  });
}

// Fills in the options that are not set.
ServerOptions WithDefaults(ServerOptions options) {
  if (options.propagator == nullptr) options.propagator = DefaultPropagator();
  if (options.edge.has_value()) {
    options.propagator =
        std::make_shared<EdgePropagator>(options.propagator, *options.edge);
  }
  if (options.edge.has_value() && !options.time.max_timeout.has_value()) {
    options.time.max_timeout = absl::Minutes(1);
  }
  if (options.edge.has_value()) {
    // A proxy in front may remove headers, but not those in a packed one.
    options.packed = false;
    options.report.limits.has_labels_and_addresses = false;
  }
  if (!options.report.when.has_value()) {
    options.report.when = options.edge.has_value()
                              ? ReportOptions::When::kNever
                              : ReportOptions::When::kWhenItMatters;
  }
  return options;
}

}  // namespace

ServerState::ServerState(ServerOptions server_options)
    : options(WithDefaults(std::move(server_options))),
      policies(options.time, options.methods),
      shed_budgets(options.shed_fraction),
      watcher(EndWatcher::Get()),
      cancels_calls_at_end(options.base_context != Background() &&
                           options.answer_grace != absl::InfiniteDuration()),
      is_on_real_clock(&ClockOf(ContextAccess::NodeOf(options.base_context)) ==
                       &Clock::Real()),
      quiet_time(is_on_real_clock ? absl::Nanoseconds(EndWatcher::kDelay)
                                  : absl::ZeroDuration()),
      parents_(ParentsOfRequests(options.base_context)) {}

std::shared_ptr<ServerState> ServerState::Make(ServerOptions options) {
  std::shared_ptr<ServerState> state(new ServerState(std::move(options)));
  if (state->cancels_calls_at_end) {
    state->at_end_of_base_context_.emplace(
        state->options.base_context,
        [weak = std::weak_ptr<ServerState>(state)] {
          if (auto self = weak.lock()) self->OnBaseContextEnded();
        });
  }
  return state;
}

absl::Duration ServerState::answer_grace() const {
  return std::max(options.answer_grace, absl::ZeroDuration());
}

void ServerState::OnBaseContextEnded() {
  ended_at_.store(Clock::Real().SteadyNanos(), std::memory_order_relaxed);
  // Made outside the lock, because it may run at once.
  auto cancel =
      std::make_unique<Delayed>(answer_grace(), [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->CancelAllCalls();
      });
  MutexLock lock(mutex_);
  delayed_cancel_.swap(cancel);
}

// A call that begins meanwhile cancels itself (ServerCall::ScheduleCancelCall).
void ServerState::CancelAllCalls() {
  std::vector<std::shared_ptr<ServerCall>> calls;
  // Under the registry's lock, nothing may be allocated.
  bool complete = false;
  for (size_t room = 64; !complete; room *= 2) {
    calls.clear();
    calls.reserve(room);
    complete = true;
    ServerCall::Registry().ForEach([&](ServerCall* call) {
      if (!call->IsOf(this)) return;
      complete = complete && calls.size() < calls.capacity();
      if (!complete) return;
      // Null if its interceptor is about to be destroyed. Not the last owner:
      // the interceptor removes the call before it drops its own reference.
      if (auto held = call->weak_from_this().lock()) {
        calls.push_back(std::move(held));
      }
    });
  }
  const grpc::Status status = StatusOf(options.base_context);
  for (const auto& call : calls) call->CancelCall(status);
}

}  // namespace tether::internal
