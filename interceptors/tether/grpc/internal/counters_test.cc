// SPDX-License-Identifier: Apache-2.0
//
// The counts behind GetGrpcStats(): exact after the fact, never too low while
// other threads count, and in no cache line that two threads write.

#include "tether/grpc/internal/counters.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tether/grpc/stats.h"

namespace tether::internal {
namespace {

TEST(CountersTest, CountsOfThreadsThatHaveEndedStay) {
  const GrpcStats before = GetGrpcStats();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 1000; ++n) {
        CountEvent(RpcEvent::kClientCallMade);
        CountEvent(RpcEvent::kShed);
      }
      for (int n = 0; n < 999; ++n) CountEvent(RpcEvent::kClientCallGone);
    });
  }
  for (std::thread& thread : threads) thread.join();
  GrpcStats after = GetGrpcStats();
  EXPECT_EQ(after.client_calls - before.client_calls, 8);
  EXPECT_EQ(after.shed - before.shed, 8 * 1000);
  EXPECT_EQ(after.server_calls, before.server_calls);  // another slot
  // The end may be counted on another thread than the beginning.
  for (int i = 0; i < 8; ++i) CountEvent(RpcEvent::kClientCallGone);
  after = GetGrpcStats();
  EXPECT_EQ(after.client_calls, before.client_calls);
}

// One thread begins calls, another one ends them, and one call lasts.
TEST(CountersTest, ANumberOfWhatIsAliveIsNeverTooLow) {
  const int64_t before = GetGrpcStats().server_calls;
  CountEvent(RpcEvent::kServerCallMade);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> begun{0};
  std::atomic<int64_t> ended{0};
  std::thread begins([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      CountEvent(RpcEvent::kServerCallMade);
      begun.fetch_add(1, std::memory_order_release);
    }
  });
  std::thread ends([&] {
    int64_t over = 0;
    do {
      for (; over < begun.load(std::memory_order_acquire); ++over) {
        CountEvent(RpcEvent::kServerCallGone);
      }
      ended.store(over, std::memory_order_relaxed);
    } while (!stop.load(std::memory_order_relaxed));
  });
  // Until the two threads have run during many readings.
  int64_t lowest = before + 1;
  for (int readings = 0; readings < 50;) {
    const int64_t over = ended.load(std::memory_order_relaxed);
    lowest = std::min(lowest, GetGrpcStats().server_calls);
    if (ended.load(std::memory_order_relaxed) != over) ++readings;
  }
  stop.store(true, std::memory_order_relaxed);
  begins.join();
  ends.join();
  for (int64_t over = ended; over < begun; ++over) {
    CountEvent(RpcEvent::kServerCallGone);
  }
  EXPECT_EQ(lowest, before + 1);
  EXPECT_EQ(GetGrpcStats().server_calls, before + 1);
  CountEvent(RpcEvent::kServerCallGone);
}

// The cell of a thread, and how many cells the events of one call touch.
TEST(CountersTest, NoTwoThreadsWriteOneCacheLine) {
  EXPECT_EQ(sizeof(LiveCell) % 128, 0u);
  EXPECT_EQ(alignof(LiveCell), 128u);
  PrepareLiveCount();
  const LiveCell* const own = live_cell;
  std::thread([own] {
    PrepareLiveCount();
    EXPECT_NE(live_cell, own);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(live_cell) % 128, 0u);
  }).join();
  // An event is counted in the thread's cell, and nowhere else.
  const int slot = SlotOf(RpcEvent::kServerCallArrived);
  const int64_t before = own->counts[slot].load();
  CountEvent(RpcEvent::kServerCallArrived);
  EXPECT_EQ(own->counts[slot].load(), before + 1);
  // Those of every call are in one line with the counts of contexts.
  EXPECT_LT(SlotOf(RpcEvent::kClientCallGone), 8);
}

}  // namespace
}  // namespace tether::internal
