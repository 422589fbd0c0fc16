// SPDX-License-Identifier: Apache-2.0
//
// The table of states by address: who is found, what replaces and removes whom,
// growth in constant time, many threads, and no memory.

#include "tether/internal/address_table.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tether/testing/failing_allocations.h"

namespace tether::internal {
namespace {

struct State : AddressTableEntry<State> {
  int value = 0;
};
using Table = AddressTable<State>;

const void* At(uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}

State* In(Table& table, const void* address) {
  return table.Find(address, [](State* state) { return state; });
}

size_t Size(Table& table) {
  size_t size = 0;
  table.ForEach([&size](State*) { ++size; });
  return size;
}

TEST(AddressTableTest, AStateIsFoundUntilItIsRemoved) {
  Table table;
  State a;
  State b;
  EXPECT_EQ(In(table, At(16)), nullptr);
  EXPECT_EQ(table.Put(At(16), &a), nullptr);
  EXPECT_EQ(table.Put(At(32), &b), nullptr);
  EXPECT_EQ(In(table, At(16)), &a);
  EXPECT_EQ(In(table, At(32)), &b);
  EXPECT_EQ(In(table, At(48)), nullptr);
  EXPECT_EQ(Size(table), 2u);
  table.Remove(At(16), &a);
  EXPECT_EQ(In(table, At(16)), nullptr);
  EXPECT_EQ(In(table, At(32)), &b);
  table.Remove(At(16), &a);  // no effect
  EXPECT_EQ(Size(table), 1u);
  table.Put(At(16), &a);  // again
  EXPECT_EQ(In(table, At(16)), &a);
}

TEST(AddressTableTest, TheNextUserOfAnAddressReplacesItsState) {
  Table table;
  State stale;
  State state;
  table.Put(At(16), &stale);
  EXPECT_EQ(table.Put(At(16), &state), &stale);
  EXPECT_EQ(In(table, At(16)), &state);
  EXPECT_EQ(Size(table), 1u);
  table.Remove(At(16), &stale);  // is no longer in the table
  EXPECT_EQ(In(table, At(16)), &state);
  table.Remove(At(16), &state);
  EXPECT_EQ(In(table, At(16)), nullptr);
}

TEST(AddressTableTest, ASameStateStays) {
  Table table;
  State first;
  State second;
  first.value = 1;
  const auto is_1 = [](const State& state) { return state.value == 1; };
  EXPECT_TRUE(table.PutUnless(At(16), &first, is_1));
  EXPECT_FALSE(table.PutUnless(At(16), &second, is_1));
  EXPECT_EQ(In(table, At(16)), &first);
  // The control.
  first.value = 2;
  EXPECT_TRUE(table.PutUnless(At(16), &second, is_1));
  EXPECT_EQ(In(table, At(16)), &second);
  EXPECT_EQ(Size(table), 1u);
}

// Addresses are those of small objects, large objects, pages and stacks.
TEST(AddressTableTest, AHundredThousandStatesHaveShortChains) {
  constexpr size_t kStates = 100'000;
  for (const uintptr_t distance : {16u, 64u, 528u, 4096u, 8u << 20}) {
    Table table;
    std::vector<State> states(kStates);
    const uintptr_t base = 0x7f0000001000;
    for (size_t i = 0; i < kStates; ++i) {
      table.Put(At(base + i * distance), &states[i]);
    }
    EXPECT_EQ(Size(table), kStates);
    EXPECT_LE(table.LongestChain(), 16u) << distance;
    for (size_t i = 0; i < kStates; ++i) {
      ASSERT_EQ(In(table, At(base + i * distance)), &states[i]);
    }
    for (size_t i = 0; i < kStates; ++i) {
      table.Remove(At(base + i * distance), &states[i]);
    }
    EXPECT_EQ(Size(table), 0u);
  }
}

// Each thread adds states until the table has grown several times, replaces
// and removes them, while another thread looks at all, until it has met others'
// states in many looks. `value` isn't atomic: if
// a thread could use a state that was removed, ThreadSanitizer would report it.
TEST(AddressTableTest, ThreadsAddAndRemoveWhileAnotherLooksAtAll) {
  constexpr int kThreads = 4;
  constexpr size_t kStates = 3000;
  Table table;
  State lasting;
  lasting.value = 1;
  table.Put(At(8), &lasting);
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  for (uintptr_t thread = 1; thread <= kThreads; ++thread) {
    threads.emplace_back([&table, &stop, thread] {
      const auto address = [thread](size_t i) {
        return At((thread << 32) + i * 64);
      };
      std::vector<State> states(kStates);
      State other;
      do {
        for (size_t i = 0; i < kStates; ++i) {
          states[i].value = 1;
          EXPECT_EQ(table.Put(address(i), &states[i]), nullptr);
        }
        for (size_t i = 0; i < kStates; ++i) {
          EXPECT_EQ(In(table, address(i)), &states[i]);
          other.value = 1;
          EXPECT_EQ(table.Put(address(i), &other), &states[i]);
          states[i].value = 0;  // it is out
          EXPECT_EQ(In(table, address(i)), &other);
          table.Remove(address(i), &other);
          other.value = 0;
        }
      } while (!stop);
    });
  }
  for (int met = 0; met < 50;) {
    size_t seen = 0;
    bool found = false;
    table.ForEach([&](const State* state) {
      EXPECT_EQ(state->value, 1);
      found |= state == &lasting;
      ++seen;
    });
    EXPECT_TRUE(found);
    EXPECT_LE(seen, kThreads * kStates + 1);
    if (seen > 1) ++met;
    std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Size(table), 1u);
  EXPECT_LE(table.LongestChain(), 1u);
}

TEST(AddressTableTest, WithoutMemoryItWorksAsItIsAndGrowsLater) {
  constexpr size_t kStates = 20'000;
  std::vector<State> states(kStates + 10'000);
  const auto address = [](size_t i) { return At((i + 1) * 64); };
  const auto table = std::make_unique<Table>();
  const int64_t before = testing::live_allocations;
  for (size_t i = 0; i < kStates; ++i) {
    testing::fail_at = 1;
    EXPECT_EQ(table->Put(address(i), &states[i]), nullptr);
    testing::fail_at = 0;
  }
  EXPECT_EQ(testing::live_allocations, before);
  // 20,000 states in 2,048 buckets.
  EXPECT_GE(table->LongestChain(), 10u);
  for (size_t i = 0; i < kStates; ++i) {
    ASSERT_EQ(In(*table, address(i)), &states[i]);
  }
  // The next states bring memory.
  for (size_t i = kStates; i < states.size(); ++i) {
    table->Put(address(i), &states[i]);
  }
  EXPECT_LE(table->LongestChain(), 16u);
  for (size_t i = 0; i < states.size(); ++i) {
    ASSERT_EQ(In(*table, address(i)), &states[i]);
  }
}

TEST(AddressTableTest, TheTableFreesItsBuckets) {
  const int64_t before = testing::live_allocations;
  {
    std::vector<State> states(10'000);
    Table table;
    for (State& state : states) table.Put(&state, &state);
    EXPECT_GT(testing::live_allocations, before + 1);
    for (const State& state : states) table.Remove(&state, &state);
  }
  EXPECT_EQ(testing::live_allocations, before);
}

}  // namespace
}  // namespace tether::internal
