// SPDX-License-Identifier: Apache-2.0
//
// Making, cancelling, checking and observing contexts.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/simulated_clock.h"

namespace tether::benchmarks {
namespace {

void CreateAndCancel(benchmark::State& state) {
  CountAllocations count(state);
  for (auto _ : state) {
    auto [ctx, cancel] = WithCancel(Background());
    benchmark::DoNotOptimize(ctx);
    cancel();
  }
}
BENCHMARK(CreateAndCancel)->Name("create and cancel, no parent");

// All threads share the parent.
void ChildCreateAndCancel(benchmark::State& state) {
  static const Cancellable& parent = *new Cancellable(WithCancel(Background()));
  CountAllocations count(state);
  for (auto _ : state) {
    auto [ctx, cancel] = WithCancel(parent.ctx);
    benchmark::DoNotOptimize(ctx);
    cancel();
  }
}
BENCHMARK(ChildCreateAndCancel)
    ->Name("child: create and cancel")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

// Each thread has its own parent, as the requests of a server do.
void ChildOfOwnParent(benchmark::State& state) {
  const Cancellable parent = WithCancel(Background());
  CountAllocations count(state);
  for (auto _ : state) {
    auto [ctx, cancel] = WithCancel(parent.ctx);
    benchmark::DoNotOptimize(ctx);
    cancel();
  }
}
BENCHMARK(ChildOfOwnParent)
    ->Name("child, own parent: create and cancel")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

void IsCancelled(benchmark::State& state, absl::Duration timeout) {
  static const Cancellable& parent = *new Cancellable(WithCancel(Background()));
  const Cancellable child = WithTimeout(parent.ctx, timeout);
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(child.ctx.Done());
}
BENCHMARK_CAPTURE(IsCancelled, live, absl::InfiniteDuration())
    ->Name("is it cancelled: live");
BENCHMARK_CAPTURE(IsCancelled, far, absl::Hours(1))
    ->Name("is it cancelled: live, far deadline");

// All threads check one context.
void IsSharedCancelled(benchmark::State& state) {
  static const Cancellable& shared = *new Cancellable(WithCancel(Background()));
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(shared.ctx.Done());
}
BENCHMARK(IsSharedCancelled)
    ->Name("is it cancelled: live")
    ->UseRealTime()
    ->Threads(2);

void IsCancelledNear(benchmark::State& state) {
  // A deadline is near only for a moment, so each batch has a new one.
  constexpr int kLooks = 20'000;
  std::optional<Cancellable> child;
  TimeBatches(
      state, kLooks,
      [&] { child.emplace(WithTimeout(Background(), absl::Milliseconds(90))); },
      [&](int) { benchmark::DoNotOptimize(child->ctx.Done()); }, [] {});
}
BENCHMARK(IsCancelledNear)
    ->Name("is it cancelled: live, near deadline")
    ->UseManualTime();

void RegisterAndDeregister(benchmark::State& state) {
  const Cancellable parent = WithCancel(Background());
  int64_t calls = 0;
  CountAllocations count(state);
  for (auto _ : state) {
    Registration registration = AfterFunc(parent.ctx, [&calls] { ++calls; });
    benchmark::DoNotOptimize(&registration);
  }
  if (calls != 0) Fail(state, "a callback was called");
}
BENCHMARK(RegisterAndDeregister)->Name("callback: register and deregister");

void RegisterAndCancel(benchmark::State& state, int n) {
  const auto registrations = std::make_unique<std::optional<Registration>[]>(n);
  int64_t calls = 0;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      auto [ctx, cancel] = WithCancel(Background());
      for (int i = 0; i < n; ++i) {
        registrations[i].emplace(ctx, [&calls] { ++calls; });
      }
      cancel();
      for (int i = 0; i < n; ++i) registrations[i].reset();
    }
  }
  if (calls != n * state.iterations()) {
    Fail(state, "not each callback was called once");
  }
}
BENCHMARK_CAPTURE(RegisterAndCancel, 1000, 1000)
    ->Name("register and cancel 1000 callbacks");

// Times the cancelling alone.
void CancelCallbacks(benchmark::State& state, int n) {
  const int batch = BatchOf(n);
  const auto registrations =
      std::make_unique<std::optional<Registration>[]>(batch * n);
  std::vector<Cancellable> contexts(batch);
  int64_t calls = 0;
  TimeBatches(
      state, batch,
      [&] {
        for (int i = 0; i < batch; ++i) {
          contexts[i] = WithCancel(Background());
          for (int j = 0; j < n; ++j) {
            registrations[i * n + j].emplace(contexts[i].ctx,
                                             [&calls] { ++calls; });
          }
        }
      },
      [&](int i) { contexts[i].cancel(); },
      [&] {
        for (int i = 0; i < batch * n; ++i) registrations[i].reset();
      });
  if (calls != n * state.iterations()) {
    Fail(state, "not each callback was called once");
  }
}
BENCHMARK_CAPTURE(CancelCallbacks, 1, 1)
    ->Name("cancel 1 callback")
    ->UseManualTime();
BENCHMARK_CAPTURE(CancelCallbacks, 10, 10)
    ->Name("cancel 10 callbacks")
    ->UseManualTime();
BENCHMARK_CAPTURE(CancelCallbacks, 1000, 1000)
    ->Name("cancel 1000 callbacks")
    ->UseManualTime();

void CreateAndCancelChain(benchmark::State& state, int n) {
  std::vector<Cancellable> chain;
  chain.reserve(n + 1);
  bool done = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      chain.push_back(WithCancel(Background()));
      for (int i = 0; i < n; ++i) {
        chain.push_back(WithCancel(chain.back().ctx));
      }
      chain.front().cancel();
      done &= chain.back().ctx.Done();
      chain.clear();
    }
  }
  if (!done) Fail(state, "the last child is not done");
}
BENCHMARK_CAPTURE(CreateAndCancelChain, 1000, 1000)
    ->Name("create and cancel a chain of 1000 children");

// Times the cancelling alone.
void CancelChain(benchmark::State& state, int n) {
  const int batch = BatchOf(n);
  std::vector<std::vector<Cancellable>> chains(batch);
  for (auto& chain : chains) chain.reserve(n + 1);
  bool done = true;
  TimeBatches(
      state, batch,
      [&] {
        for (auto& chain : chains) {
          chain.push_back(WithCancel(Background()));
          for (int i = 0; i < n; ++i) {
            chain.push_back(WithCancel(chain.back().ctx));
          }
        }
      },
      [&](int i) { chains[i].front().cancel(); },
      [&] {
        for (auto& chain : chains) {
          done &= chain.back().ctx.Done();
          chain.clear();
        }
      });
  if (!done) Fail(state, "the last child is not done");
}
BENCHMARK_CAPTURE(CancelChain, 1, 1)
    ->Name("cancel a chain of 1 child")
    ->UseManualTime();
BENCHMARK_CAPTURE(CancelChain, 10, 10)
    ->Name("cancel a chain of 10 children")
    ->UseManualTime();
BENCHMARK_CAPTURE(CancelChain, 100, 100)
    ->Name("cancel a chain of 100 children")
    ->UseManualTime();
BENCHMARK_CAPTURE(CancelChain, 1000, 1000)
    ->Name("cancel a chain of 1000 children")
    ->UseManualTime();

// Each deadline is a little earlier than its parent's, so they come near one
// after the other, the deepest first. Times only this.
void ComeNear(benchmark::State& state, int n) {
  std::optional<testing::SimulatedClock> clock;
  std::vector<Cancellable> chain;
  chain.reserve(n);
  TimeBatches(
      state, 1,
      [&] {
        clock.emplace();
        chain.push_back(WithTimeout(Background(*clock), absl::Hours(1)));
        for (int i = 1; i < n; ++i) {
          chain.push_back(WithTimeout(
              chain.back().ctx, absl::Hours(1) - absl::Nanoseconds(100) * i));
        }
      },
      [&](int) { clock->Advance(absl::Hours(1) - absl::Milliseconds(50)); },
      [&] {
        if (chain.back().ctx.Done()) Fail(state, "a deadline has passed");
        chain.clear();
      });
}
BENCHMARK_CAPTURE(ComeNear, 1000, 1000)
    ->Name("a chain of 1000 deadlines comes near")
    ->UseManualTime();
BENCHMARK_CAPTURE(ComeNear, 8000, 8000)
    ->Name("a chain of 8000 deadlines comes near")
    ->UseManualTime();

}  // namespace
}  // namespace tether::benchmarks
