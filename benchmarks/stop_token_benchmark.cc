// SPDX-License-Identifier: Apache-2.0
//
// C++20's std::stop_token, with the same operations. It has no children, so a
// child is a source, and a callback on the parent's token that stops it.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "benchmark/benchmark.h"
#include "harness.h"

namespace tether::benchmarks {
namespace {

struct StopSource {
  std::stop_source* source;
  void operator()() const { source->request_stop(); }
};

struct Child {
  explicit Child(const std::stop_token& parent)
      : link(parent, StopSource{&source}) {}

  std::stop_source source;
  std::stop_callback<StopSource> link;
};

void CreateAndCancel(benchmark::State& state) {
  CountAllocations count(state);
  for (auto _ : state) {
    std::stop_source source;
    benchmark::DoNotOptimize(source);
    source.request_stop();
  }
}
BENCHMARK(CreateAndCancel)->Name("create and cancel, no parent");

// All threads share the parent.
void ChildCreateAndCancel(benchmark::State& state) {
  static const std::stop_source& parent = *new std::stop_source;
  CountAllocations count(state);
  for (auto _ : state) {
    Child child(parent.get_token());
    benchmark::DoNotOptimize(&child);
    child.source.request_stop();
  }
}
BENCHMARK(ChildCreateAndCancel)
    ->Name("child: create and cancel")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

// Each thread has its own parent.
void ChildOfOwnParent(benchmark::State& state) {
  const std::stop_source parent;
  CountAllocations count(state);
  for (auto _ : state) {
    Child child(parent.get_token());
    benchmark::DoNotOptimize(&child);
    child.source.request_stop();
  }
}
BENCHMARK(ChildOfOwnParent)
    ->Name("child, own parent: create and cancel")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

// All threads check one token.
void IsCancelled(benchmark::State& state) {
  static const std::stop_source& source = *new std::stop_source;
  const std::stop_token token = source.get_token();
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(token.stop_requested());
}
BENCHMARK(IsCancelled)
    ->Name("is it cancelled: live")
    ->UseRealTime()
    ->Threads(1)
    ->Threads(2);

void RegisterAndDeregister(benchmark::State& state) {
  std::stop_source source;
  const std::stop_token token = source.get_token();
  int64_t calls = 0;
  CountAllocations count(state);
  for (auto _ : state) {
    std::stop_callback callback(token, [&calls] { ++calls; });
    benchmark::DoNotOptimize(&callback);
  }
  if (calls != 0) Fail(state, "a callback was called");
}
BENCHMARK(RegisterAndDeregister)->Name("callback: register and deregister");

struct Increment {
  int64_t* value;
  void operator()() const { ++*value; }
};

void RegisterAndCancel(benchmark::State& state, int n) {
  const auto callbacks =
      std::make_unique<std::optional<std::stop_callback<Increment>>[]>(n);
  int64_t calls = 0;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      std::stop_source source;
      for (int i = 0; i < n; ++i) {
        callbacks[i].emplace(source.get_token(), Increment{&calls});
      }
      source.request_stop();
      for (int i = 0; i < n; ++i) callbacks[i].reset();
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
  const auto callbacks =
      std::make_unique<std::optional<std::stop_callback<Increment>>[]>(batch *
                                                                       n);
  std::vector<std::stop_source> sources(batch,
                                        std::stop_source(std::nostopstate));
  int64_t calls = 0;
  TimeBatches(
      state, batch,
      [&] {
        for (int i = 0; i < batch; ++i) {
          sources[i] = std::stop_source();
          for (int j = 0; j < n; ++j) {
            callbacks[i * n + j].emplace(sources[i].get_token(),
                                         Increment{&calls});
          }
        }
      },
      [&](int i) { sources[i].request_stop(); },
      [&] {
        for (int i = 0; i < batch * n; ++i) callbacks[i].reset();
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

// A root and a chain of children below it.
struct Chain {
  explicit Chain(int n)
      : length(n), children(std::make_unique<std::optional<Child>[]>(n)) {}

  void Create() {
    root = std::stop_source();
    for (int i = 0; i < length; ++i) {
      const std::stop_source& parent = i == 0 ? root : children[i - 1]->source;
      children[i].emplace(parent.get_token());
    }
  }
  bool Done() const { return children[length - 1]->source.stop_requested(); }
  void Destroy() {
    for (int i = 0; i < length; ++i) children[i].reset();
  }

  const int length;
  std::stop_source root{std::nostopstate};
  std::unique_ptr<std::optional<Child>[]> children;
};

void CreateAndCancelChain(benchmark::State& state, int n) {
  Chain chain(n);
  bool done = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      chain.Create();
      chain.root.request_stop();
      done &= chain.Done();
      chain.Destroy();
    }
  }
  if (!done) Fail(state, "the last child is not done");
}
BENCHMARK_CAPTURE(CreateAndCancelChain, 1000, 1000)
    ->Name("create and cancel a chain of 1000 children");

// Times the cancelling alone.
void CancelChain(benchmark::State& state, int n) {
  const int batch = BatchOf(n);
  std::deque<Chain> chains;
  for (int i = 0; i < batch; ++i) chains.emplace_back(n);
  bool done = true;
  TimeBatches(
      state, batch,
      [&] {
        for (Chain& chain : chains) chain.Create();
      },
      [&](int i) { chains[i].root.request_stop(); },
      [&] {
        for (Chain& chain : chains) {
          done &= chain.Done();
          chain.Destroy();
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

// Includes the callback that links it, which tether has in the context itself.
void MemoryOfChild(benchmark::State& state) {
  constexpr int kChildren = 1000;
  const std::stop_source parent;
  const auto children = std::make_unique<std::optional<Child>[]>(kChildren);
  CountHeapBytes count;
  for (int i = 0; i < kChildren; ++i) children[i].emplace(parent.get_token());
  ReportBytes(state, static_cast<double>(count.bytes()) / kChildren +
                         sizeof(Child::link));
}
BENCHMARK(MemoryOfChild)->Name("memory of a child");

}  // namespace
}  // namespace tether::benchmarks
