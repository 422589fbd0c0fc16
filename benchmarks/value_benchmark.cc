// SPDX-License-Identifier: Apache-2.0
//
// Adding values, and looking them up from far below.

#include <deque>
#include <utility>

#include "benchmark/benchmark.h"
#include "harness.h"
#include "tether/context.h"

namespace tether::benchmarks {
namespace {

using IntKey = Key<int>;

// 128 keys of existing values, and 64 keys without a value. There are many
// keys, because a single key's hash may be lucky or unlucky.
constexpr int kPresent = 128;
constexpr unsigned kAbsent = 64;
std::deque<IntKey>& Keys() {
  static std::deque<IntKey>& keys = *[] {
    auto* made = new std::deque<IntKey>;
    for (unsigned i = 0; i < kPresent + kAbsent; ++i) made->emplace_back("key");
    return made;
  }();
  return keys;
}

const IntKey& Present(int i) { return Keys()[i]; }
const IntKey& Absent(unsigned i) { return Keys()[kPresent + i % kAbsent]; }

void AddValue(benchmark::State& state) {
  const Cancellable parent = WithCancel(Background());
  const IntKey& key = Present(0);
  CountAllocations count(state);
  for (auto _ : state) {
    Context ctx = WithValue(parent.ctx, key, 42);
    benchmark::DoNotOptimize(ctx);
  }
}
BENCHMARK(AddValue)->Name("add a value");

void LookUpMisses(benchmark::State& state, const Context& ctx) {
  const IntKey* absent[kAbsent];
  for (unsigned i = 0; i < kAbsent; ++i) absent[i] = &Absent(i);
  unsigned i = 0;
  bool found = false;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      const int* value = ctx.Value(*absent[i++ % kAbsent]);
      benchmark::DoNotOptimize(value);
      found |= value != nullptr;
    }
  }
  if (found) Fail(state, "found what isn't there");
}

void LookUpMiss(benchmark::State& state, int depth) {
  Context ctx;
  for (int i = 0; i < depth; ++i) ctx = WithValue(ctx, Present(i), i);
  LookUpMisses(state, ctx);
}
BENCHMARK_CAPTURE(LookUpMiss, 10, 10)->Name("look up a value: miss, 10 deep");
BENCHMARK_CAPTURE(LookUpMiss, 50, 50)->Name("look up a value: miss, 50 deep");
BENCHMARK_CAPTURE(LookUpMiss, 100, 100)
    ->Name("look up a value: miss, 100 deep");

// 100 contexts that can be cancelled, with a value above each tenth of them.
struct Mixed {
  Mixed() {
    for (int i = 0; i < 100; ++i) {
      if (i % 10 == 0) ctx = WithValue(ctx, Present(i / 10), i);
      Cancellable child = WithCancel(ctx);
      ctx = child.ctx;
      cancels.push_back(std::move(child.cancel));
    }
  }

  Context ctx;
  std::deque<CancelFunc> cancels;
};

void LookUpMissAmongCancels(benchmark::State& state) {
  const Mixed mixed;
  LookUpMisses(state, mixed.ctx);
}
BENCHMARK(LookUpMissAmongCancels)
    ->Name("look up a value: miss, 10 among 100 cancel nodes");

void LookUpOldestAmongCancels(benchmark::State& state) {
  const Mixed mixed;
  const IntKey& key = Present(0);
  bool found = true;
  {
    CountAllocations count(state);
    for (auto _ : state) {
      const int* value = mixed.ctx.Value(key);
      benchmark::DoNotOptimize(value);
      found &= value != nullptr;
    }
  }
  if (!found) Fail(state, "the value is not found");
}
BENCHMARK(LookUpOldestAmongCancels)
    ->Name("look up a value: oldest of 10 among 100 cancel nodes");

}  // namespace
}  // namespace tether::benchmarks
