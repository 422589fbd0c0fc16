// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/timer_wheel.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace tether::internal {
namespace {

constexpr Nanos kMin = std::numeric_limits<Nanos>::min();
constexpr Nanos kMax = std::numeric_limits<Nanos>::max();

std::vector<Timer*> Take(TimerWheel& wheel, Nanos now) {
  std::vector<Timer*> taken;
  for (Timer* t = wheel.TakeExpired(now); t != nullptr; t = t->next) {
    EXPECT_FALSE(t->armed());
    taken.push_back(t);
  }
  return taken;
}

TEST(TimerWheelTest, AnEmptyWheelHasNoEvent) {
  TimerWheel wheel(0, 0);
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.NextEvent(), kNever);
  EXPECT_EQ(wheel.TakeExpired(kMax), nullptr);
  EXPECT_EQ(wheel.TakeExpired(kMin), nullptr);
}

TEST(TimerWheelTest, FiresAtExactlyItsTimeWithoutTicks) {
  for (Nanos when : {Nanos{1}, Nanos{63}, Nanos{64}, Nanos{65}, Nanos{4095},
                     Nanos{4096}, Nanos{1} << 40, kMax - 1}) {
    TimerWheel wheel(0, 0);
    Timer timer;
    wheel.Add(timer, when);
    EXPECT_TRUE(timer.armed());
    EXPECT_LE(wheel.NextEvent(), when);
    EXPECT_TRUE(Take(wheel, when - 1).empty());
    EXPECT_TRUE(timer.armed());
    EXPECT_EQ(wheel.NextEvent(), when);
    EXPECT_EQ(Take(wheel, when), std::vector<Timer*>{&timer});
    EXPECT_EQ(wheel.size(), 0u);
  }
}

TEST(TimerWheelTest, WithTicksFiresLateByLessThanOne) {
  constexpr int kShift = 18;
  constexpr Nanos kTick = Nanos{1} << kShift;
  for (Nanos start : {Nanos{0}, Nanos{12'345}, Nanos{-98'765'432'101}}) {
    for (Nanos in : {Nanos{1}, kTick - 1, kTick, kTick + 1, 64 * kTick,
                     64 * kTick + 1, Nanos{3'600'000'000'000}}) {
      TimerWheel wheel(kShift, start);
      Timer timer;
      wheel.Add(timer, start + in);
      EXPECT_TRUE(Take(wheel, start + in - 1).empty());
      EXPECT_GE(wheel.NextEvent(), start + in);
      EXPECT_LT(wheel.NextEvent(), start + in + kTick);
      EXPECT_EQ(Take(wheel, start + in + kTick - 1).size(), 1u);
    }
  }
}

TEST(TimerWheelTest, ATimeThatHasPassedFiresAtTheNextTick) {
  TimerWheel wheel(0, 0);
  wheel.TakeExpired(1000);
  Timer long_past, just_now;
  wheel.Add(long_past, kMin);
  wheel.Add(just_now, 1000);
  EXPECT_TRUE(Take(wheel, 1000).empty());
  EXPECT_EQ(wheel.NextEvent(), 1001);
  EXPECT_EQ(Take(wheel, 1001).size(), 2u);
}

TEST(TimerWheelTest, AnEarlierTimeHasNoEffect) {
  TimerWheel wheel(0, 0);
  wheel.TakeExpired(1000);
  Timer timer;
  wheel.Add(timer, 1500);
  EXPECT_TRUE(Take(wheel, 10).empty());
  EXPECT_TRUE(Take(wheel, kMin).empty());
  EXPECT_TRUE(Take(wheel, 1499).empty());
  EXPECT_EQ(Take(wheel, 1500).size(), 1u);
}

TEST(TimerWheelTest, ARemovedTimerNeverFiresAndCanBeAddedAgain) {
  TimerWheel wheel(0, 0);
  Timer timer;
  wheel.Remove(timer);  // not armed: no effect
  EXPECT_EQ(wheel.size(), 0u);
  wheel.Add(timer, 100);
  wheel.Remove(timer);
  wheel.Remove(timer);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.NextEvent(), kNever);
  EXPECT_TRUE(Take(wheel, 200).empty());
  wheel.Add(timer, 300);
  EXPECT_EQ(Take(wheel, 300).size(), 1u);
  wheel.Add(timer, 400);
  EXPECT_EQ(Take(wheel, 400).size(), 1u);
}

TEST(TimerWheelTest, RemovingOneOfASlotLeavesTheOthers) {
  TimerWheel wheel(0, 0);
  Timer timers[5];
  for (Timer& t : timers) wheel.Add(t, 1000);
  wheel.Remove(timers[4]);  // first in its slot
  wheel.Remove(timers[0]);  // last
  wheel.Remove(timers[2]);
  std::vector<Timer*> taken = Take(wheel, 1000);
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(taken, (std::vector<Timer*>{&timers[1], &timers[3]}));
}

TEST(TimerWheelTest, SpansAllOfInt64) {
  TimerWheel wheel(0, kMin);
  Timer first, zero, last;
  wheel.Add(first, kMin + 1);
  wheel.Add(zero, 0);
  wheel.Add(last, kMax - 1);
  EXPECT_EQ(Take(wheel, kMin + 1), std::vector<Timer*>{&first});
  EXPECT_TRUE(Take(wheel, -1).empty());
  EXPECT_EQ(Take(wheel, 0), std::vector<Timer*>{&zero});
  EXPECT_TRUE(Take(wheel, kMax - 2).empty());
  EXPECT_EQ(Take(wheel, kMax - 1), std::vector<Timer*>{&last});
}

TEST(TimerWheelTest, TheLastTickOfInt64IsNotNever) {
  // Rounded up to a tick, the time would overflow.
  TimerWheel wheel(18, 0);
  Timer timer;
  wheel.Add(timer, kMax - 1);
  EXPECT_NE(wheel.NextEvent(), kNever);
  EXPECT_GT(wheel.NextEvent(), 0);
  wheel.Remove(timer);
}

TEST(TimerWheelTest, NextEventLeadsToEveryTimerInFewSteps) {
  // A thread that sleeps until NextEvent() each time handles every expiry in
  // time.
  TimerWheel wheel(0, 0);
  Timer timer;
  wheel.Add(timer, 123'456'789'012'345);
  int steps = 0;
  while (timer.armed()) {
    const Nanos next = wheel.NextEvent();
    ASSERT_LE(next, timer.when);
    wheel.TakeExpired(next);
    ++steps;
  }
  EXPECT_LE(steps, 11);  // at most one per level
}

// ---- Against a sorted map --------------------------------------------------

struct Shape {
  const char* name;
  int shift;
  Nanos start;
  Nanos span;  // how far in the future timers are
};

class TimerWheelPropertyTest : public ::testing::TestWithParam<Shape> {
 protected:
  // Runs a thousand random steps on one wheel.
  static void Run(const Shape& shape, std::mt19937_64& random);
};

void TimerWheelPropertyTest::Run(const Shape& shape, std::mt19937_64& random) {
  TimerWheel wheel(shape.shift, shape.start);
  std::vector<Timer> timers(200);
  // Timers by the tick of their expiry, counted from the start.
  using Model = std::multimap<uint64_t, Timer*>;
  Model model;
  std::vector<Model::iterator> where(timers.size(), model.end());
  Nanos now = shape.start;
  uint64_t now_tick = 0;

  const auto elapsed = [&](Nanos when) {
    return static_cast<uint64_t>(when) - static_cast<uint64_t>(shape.start);
  };
  // A time in [now, now + most], saturated; near times are more likely.
  const auto ahead = [&](Nanos most) {
    const uint64_t limit = uint64_t{1} << (random() % 63);
    const auto offset = static_cast<Nanos>(
        random() % (std::min(limit, static_cast<uint64_t>(most)) + 1));
    Nanos sum;
    return __builtin_add_overflow(now, offset, &sum) ? kMax - 1 : sum;
  };

  for (int step = 0; step < 1000; ++step) {
    const size_t i = random() % timers.size();
    if (random() % 100 < 90) {
      if (timers[i].armed()) {
        ASSERT_TRUE(where[i] != model.end());
        wheel.Remove(timers[i]);
        model.erase(where[i]);
        where[i] = model.end();
      } else {
        const Nanos when = random() % 16 == 0 ? shape.start : ahead(shape.span);
        wheel.Add(timers[i], when);
        const uint64_t e = elapsed(when);
        const uint64_t rounded_down = e >> shape.shift;
        const uint64_t tick =
            rounded_down + ((rounded_down << shape.shift) != e ? 1 : 0);
        where[i] = model.emplace(std::max(tick, now_tick + 1), &timers[i]);
      }
    } else {
      now = ahead(shape.span / 8);
      // There is no tick after the last time.
      if (now > kMax - (Nanos{1} << 40)) break;
      now_tick = elapsed(now) >> shape.shift;
      uint64_t last = 0;
      for (Timer* t : Take(wheel, now)) {
        auto& at = where[t - timers.data()];
        ASSERT_TRUE(at != model.end()) << "was not armed";
        ASSERT_LE(at->first, now_tick) << "early";
        ASSERT_LE(t->when, now) << "early";
        ASSERT_GE(at->first, last) << "out of order";
        last = at->first;
        model.erase(at);
        at = model.end();
      }
      ASSERT_TRUE(model.empty() || model.begin()->first > now_tick) << "late";
    }
    ASSERT_EQ(wheel.size(), model.size());
    // The next event is in the future and not later than the first expiry.
    const Nanos next = wheel.NextEvent();
    if (model.empty()) {
      ASSERT_EQ(next, kNever);
    } else {
      ASSERT_NE(next, kNever);
      ASSERT_GT(elapsed(next) >> shape.shift, now_tick);
      ASSERT_LE(elapsed(next) >> shape.shift, model.begin()->first);
    }
  }
  for (Timer& t : timers) wheel.Remove(t);
  EXPECT_EQ(wheel.size(), 0u);
}

TEST_P(TimerWheelPropertyTest, AgreesWithASortedMap) {
  const auto seed =
      static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::cout << "--gtest_random_seed=" << seed << std::endl;
  std::mt19937_64 random(seed);
  for (int trial = 0; trial < 50 && !HasFatalFailure(); ++trial) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed << " trial " << trial);
    Run(GetParam(), random);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, TimerWheelPropertyTest,
    ::testing::Values(Shape{"Exact", 0, 0, 10'000},
                      Shape{"ExactLong", 0, 0, kMax},
                      Shape{"ExactFromTheFirstMoment", 0, kMin, kMax},
                      Shape{"ExactBeforeZero", 0, -5'000'000, 1'000'000},
                      Shape{"Ticks", 18, 777'777, 10'000'000'000},
                      Shape{"TicksLong", 18, 1, kMax},
                      Shape{"TicksFromTheFirstMoment", 18, kMin, kMax},
                      Shape{"TicksBeforeZero", 18, -1'234'567'890'123,
                            1'000'000'000'000}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace tether::internal
