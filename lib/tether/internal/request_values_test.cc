// SPDX-License-Identifier: Apache-2.0
//
// The values of a request are in the memory of its scope, and live as long as
// any context with them.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/internal/rpc_context.h"
#include "tether/testing/failing_allocations.h"
#include "tether/testing/leak_checked_test.h"

namespace tether::internal {
namespace {

using tether::testing::live_allocations_of_thread;

inline constexpr Key<int> kNumber{"number"};
inline constexpr Key<std::shared_ptr<int>> kShared{"shared"};

struct alignas(64) Wide {
  int number;
};
inline constexpr Key<Wide> kWide{"wide"};

class RequestValuesTest : public testing::LeakCheckedTest {
 protected:
  static Cancellable NewRequest() {
    return WithLazyCancel(NowOf(Background()), Background(),
                          absl::InfiniteDuration(), absl::OkStatus(),
                          absl::ZeroDuration(), nullptr);
  }

  // True if `ctx` has been made by `make` without memory of its own.
  template <typename Make>
  static bool TakesNoMemory(Make make) {
    const int64_t before = live_allocations_of_thread;
    const Context ctx = make();
    return live_allocations_of_thread == before;
  }
};

TEST_F(RequestValuesTest, TakeNoMemoryOfTheirOwn) {
  const Cancellable request = NewRequest();
  EXPECT_TRUE(
      TakesNoMemory([&] { return WithValue(request.ctx, kNumber, 1); }));
  const Context first = WithValue(request.ctx, kNumber, 1);
  EXPECT_TRUE(TakesNoMemory([&] { return WithValue(first, kNumber, 2); }));
}

TEST_F(RequestValuesTest, ControlOtherContextsTakeABlockForEach) {
  const Cancellable cancellable = WithCancel(Background());
  EXPECT_FALSE(
      TakesNoMemory([&] { return WithValue(Background(), kNumber, 1); }));
  EXPECT_FALSE(
      TakesNoMemory([&] { return WithValue(cancellable.ctx, kNumber, 1); }));
}

TEST_F(RequestValuesTest, BelowAnotherScopeOrWithoutCancelTheyTakeABlock) {
  const Cancellable request = NewRequest();
  const Cancellable child = WithCancel(request.ctx);
  const Context detached = WithoutCancel(request.ctx);
  EXPECT_FALSE(TakesNoMemory([&] { return WithValue(child.ctx, kNumber, 1); }));
  EXPECT_FALSE(TakesNoMemory([&] { return WithValue(detached, kNumber, 1); }));
}

TEST_F(RequestValuesTest, GoToTheHeapWhenTheRoomIsFull) {
  const Cancellable request = NewRequest();
  const auto shared = std::make_shared<int>(7);
  std::vector<Context> values;
  for (int i = 0; i < 100; ++i) {
    values.push_back(
        WithValue(WithValue(request.ctx, kShared, shared), kNumber, i));
  }
  for (int i = 0; i < 100; ++i) {
    const Context& ctx = values[static_cast<size_t>(i)];
    EXPECT_EQ(*ctx.Value(kNumber), i);
    EXPECT_EQ(**ctx.Value(kShared), 7);
  }
  EXPECT_FALSE(
      TakesNoMemory([&] { return WithValue(request.ctx, kNumber, 1); }));
  values.clear();
  EXPECT_EQ(shared.use_count(), 1) << "each value is destroyed once";
}

TEST_F(RequestValuesTest, OutliveAllOtherContextsOfTheRequest) {
  const auto shared = std::make_shared<int>(7);
  Context last;
  {
    const Cancellable request = NewRequest();
    last = WithValue(WithValue(request.ctx, kShared, shared), kNumber, 5);
  }
  // With --config=asan, memory that is gone is reported.
  EXPECT_EQ(*last.Value(kNumber), 5);
  EXPECT_EQ(**last.Value(kShared), 7);
  const Context child = WithValue(last, kNumber, 6);
  last = Context();
  EXPECT_EQ(*child.Value(kNumber), 6);
  EXPECT_EQ(**child.Value(kShared), 7);
}

#ifdef __SANITIZE_ADDRESS__
TEST_F(RequestValuesTest, AddressSanitizerReportsAPointerToOneThatIsGone) {
  const Cancellable request = NewRequest();
  const Context other = WithValue(request.ctx, kNumber, 4);
  Context ctx = WithValue(request.ctx, kNumber, 5);
  const int* number = ctx.Value(kNumber);
  EXPECT_EQ(*number, 5);
  ctx = Context();
  EXPECT_DEATH(static_cast<void>(*static_cast<const volatile int*>(number)),
               "use-after-poison");
  EXPECT_EQ(*other.Value(kNumber), 4);
}
#endif

TEST_F(RequestValuesTest, OverAlignedOnesAreAligned) {
  const Cancellable request = NewRequest();
  const Context ctx = WithValue(request.ctx, kWide, Wide{3});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(ctx.Value(kWide)) % alignof(Wide), 0u);
  EXPECT_EQ(ctx.Value(kWide)->number, 3);
}

// With --config=tsan, two values in one place are reported, too.
TEST_F(RequestValuesTest, ThreadsGetDifferentPlaces) {
  for (int round = 0; round < 200; ++round) {
    const Cancellable request = NewRequest();
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int number = 0; number < 3; ++number) {
      threads.emplace_back([&, number] {
        while (!go) std::this_thread::yield();
        std::vector<Context> values;
        for (int i = 0; i < 4; ++i) {
          values.push_back(WithValue(request.ctx, kNumber, 10 * number + i));
        }
        for (int i = 0; i < 4; ++i) {
          EXPECT_EQ(*values[static_cast<size_t>(i)].Value(kNumber),
                    10 * number + i);
        }
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace tether::internal
