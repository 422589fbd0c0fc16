// SPDX-License-Identifier: Apache-2.0

#include "harness.h"

#include <malloc.h>

#include <cstddef>
#include <cstdlib>
#include <future>
#include <new>
#include <thread>

namespace tether::benchmarks {
namespace {

// These are plain thread-locals of the executable, so counting costs one
// instruction.
thread_local int64_t allocations = 0;
thread_local bool counts_bytes = false;
thread_local int64_t heap_bytes = 0;

bool failed = false;

int64_t ChunkSize(void* p) {
  return static_cast<int64_t>(malloc_usable_size(p) + sizeof(size_t));
}

void* Allocate(size_t size) {
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  ++allocations;
  if (counts_bytes) heap_bytes += ChunkSize(p);
  return p;
}

void Free(void* p) {
  if (counts_bytes && p != nullptr) heap_bytes -= ChunkSize(p);
  std::free(p);
}

}  // namespace

void Fail(benchmark::State& state, const char* what) {
  failed = true;
  state.SkipWithError(what);
}

int64_t Allocations() { return allocations; }

void ReportAllocations(benchmark::State& state, int64_t total) {
  state.counters["allocations"] = benchmark::Counter(
      static_cast<double>(total), benchmark::Counter::kAvgIterations);
}

CountHeapBytes::CountHeapBytes() {
  heap_bytes = 0;
  counts_bytes = true;
}

CountHeapBytes::~CountHeapBytes() { counts_bytes = false; }

int64_t CountHeapBytes::bytes() const { return heap_bytes; }

void ReportBytes(benchmark::State& state, double bytes_each) {
  for (auto _ : state) {
  }
  state.counters["bytes"] = bytes_each;
}

}  // namespace tether::benchmarks

// All other forms of new and delete call these.
void* operator new(size_t size) { return tether::benchmarks::Allocate(size); }
void operator delete(void* p) noexcept { tether::benchmarks::Free(p); }
void operator delete(void* p, size_t) noexcept { tether::benchmarks::Free(p); }

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::promise<void> over;
  std::thread asleep([&over] { over.get_future().wait(); });
  const size_t ran = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  over.set_value();
  asleep.join();
  return ran > 0 && !tether::benchmarks::failed ? 0 : 1;
}
