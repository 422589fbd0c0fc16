// SPDX-License-Identifier: Apache-2.0
//
// User code that uses or destroys the object that runs it. User code is
// callbacks, tasks, and the destructors of their captures, of values and of
// items in channels. Run these tests with --config=asan, since most of them are
// about memory.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/task_group.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

class ReentranceTest : public testing::LeakCheckedTest {};
using ReentranceDeathTest = ReentranceTest;

// Runs `fn` in its destructor, unless it was moved from.
class AtDestruction {
 public:
  explicit AtDestruction(absl::AnyInvocable<void()> fn) : fn_(std::move(fn)) {}
  AtDestruction(AtDestruction&& other) noexcept
      : fn_(std::exchange(other.fn_, nullptr)) {}
  ~AtDestruction() {
    if (fn_) fn_();
  }

 private:
  absl::AnyInvocable<void()> fn_;
};

// ---- CancelFunc ------------------------------------------------------------

TEST_F(ReentranceTest, ACallbackMayAssignToTheCancelFuncThatIsAssignedTo) {
  Cancellable first = WithCancel(Background());
  Cancellable second = WithCancel(Background());
  Cancellable third = WithCancel(Background());
  CancelFunc cancel = std::move(first.cancel);
  Registration assign =
      AfterFunc(first.ctx, [&] { cancel = std::move(third.cancel); });
  cancel = std::move(second.cancel);
  EXPECT_TRUE(first.ctx.Done());
  EXPECT_TRUE(second.ctx.Done());  // ended when the third replaced it
  EXPECT_FALSE(third.ctx.Done());
  cancel();
  EXPECT_TRUE(third.ctx.Done());
}

TEST_F(ReentranceTest, ACallbackMayCallTheCancelFuncThatIsAssignedTo) {
  Cancellable first = WithCancel(Background());
  Cancellable second = WithCancel(Background());
  CancelFunc cancel = std::move(first.cancel);
  Registration call = AfterFunc(first.ctx, [&] { cancel(); });
  cancel = std::move(second.cancel);
  EXPECT_TRUE(first.ctx.Done());
  EXPECT_TRUE(second.ctx.Done());  // it had been assigned by then
}

TEST_F(ReentranceTest, ACallbackMayDestroyTheCancelFuncThatIsAssignedTo) {
  Cancellable first = WithCancel(Background());
  Cancellable second = WithCancel(Background());
  auto cancel = std::make_unique<CancelFunc>(std::move(first.cancel));
  Registration destroy = AfterFunc(first.ctx, [&] { cancel.reset(); });
  *cancel = std::move(second.cancel);
  EXPECT_TRUE(first.ctx.Done());
  EXPECT_TRUE(second.ctx.Done());
}

TEST_F(ReentranceTest, ACallbackMayDestroyTheCancelFuncThatIsCalled) {
  Cancellable only = WithCancel(Background());
  auto cancel = std::make_unique<CancelFunc>(std::move(only.cancel));
  Registration destroy = AfterFunc(only.ctx, [&] { cancel.reset(); });
  (*cancel)(absl::AbortedError("why"));
  EXPECT_EQ(cancel, nullptr);
  EXPECT_EQ(only.ctx.Cause(), absl::AbortedError("why"));
}

TEST_F(ReentranceTest, ACallbackMayCallTheCancelFuncThatIsDestroyed) {
  Cancellable only = WithCancel(Background());
  std::optional<CancelFunc> cancel(std::move(only.cancel));
  CancelFunc& being_destroyed = *cancel;
  Registration call = AfterFunc(only.ctx, [&] { being_destroyed(); });
  cancel.reset();
  EXPECT_TRUE(only.ctx.Done());
}

TEST_F(ReentranceTest, ACallbackMayDestroyTheCauseThatCancelWasGiven) {
  Cancellable only = WithCancel(Background());
  auto cause = std::make_unique<absl::Status>(absl::AbortedError("why"));
  Registration first = AfterFunc(only.ctx, [&] { cause.reset(); });
  auto [child, cancel_child] = WithCancel(only.ctx);
  Registration second = AfterFunc(child, [&] { cause.reset(); });
  only.cancel(*cause);
  EXPECT_EQ(only.ctx.Cause(), absl::AbortedError("why"));
  EXPECT_EQ(child.Cause(), absl::AbortedError("why"));
}

// ---- Registration ----------------------------------------------------------

struct Owner {
  std::optional<Registration> registration;
};

TEST_F(ReentranceTest, CapturesMayBeTheLastOwnerWhenStopped) {
  for (const bool can_end : {true, false}) {
    Cancellable parent = WithCancel(Background());
    const Context ctx = can_end ? parent.ctx : Background();
    auto owner = std::make_shared<Owner>();
    Owner* raw = owner.get();
    const std::weak_ptr<Owner> alive = owner;
    raw->registration.emplace(ctx, [o = std::move(owner)] {});
    EXPECT_TRUE(raw->registration->Stop());
    EXPECT_TRUE(alive.expired());
  }
}

TEST_F(ReentranceTest, CapturesMayBeTheLastOwnerWhenTheCallbackHasRun) {
  Cancellable parent = WithCancel(Background());
  auto owner = std::make_shared<Owner>();
  const std::weak_ptr<Owner> alive = owner;
  owner->registration.emplace(parent.ctx, [owner] {});
  owner = nullptr;
  EXPECT_FALSE(alive.expired());
  parent.cancel();
  EXPECT_TRUE(alive.expired());
}

TEST_F(ReentranceTest, CapturesMayStopTheCallbackAgainWhileItIsStopped) {
  Cancellable parent = WithCancel(Background());
  std::optional<Registration> registration;
  int calls = 0;
  bool again = true;
  AtDestruction stop([&] { again = registration->Stop(); });
  registration.emplace(parent.ctx, [&calls, s = std::move(stop)] { ++calls; });
  EXPECT_TRUE(registration->Stop());
  EXPECT_FALSE(again);
  parent.cancel();
  EXPECT_EQ(calls, 0);
}

TEST_F(ReentranceTest, ACallbackMayRegisterAnotherWhichRunsAtOnce) {
  Cancellable parent = WithCancel(Background());
  bool ran = false;
  std::optional<Registration> inner;
  Registration outer = AfterFunc(parent.ctx, [&] {
    inner.emplace(parent.ctx, [&] { ran = parent.ctx.Done(); });
    EXPECT_TRUE(ran);
  });
  parent.cancel();
  EXPECT_TRUE(ran);
}

TEST_F(ReentranceTest, ACallbackMayDropAllThatIsLeftOfItsContext) {
  // `registration` keeps the context alive; `cancel` runs this callback.
  struct All {
    Cancellable cancellable = WithCancel(Background());
    std::optional<Registration> registration;
    std::vector<Cancellable> children;
  };
  auto all = std::make_unique<All>();
  int calls = 0;
  for (int i = 0; i < 3; ++i) {
    all->children.push_back(WithCancel(all->cancellable.ctx));
  }
  all->registration.emplace(all->cancellable.ctx, [&] {
    ++calls;
    all.reset();
  });
  const CancelFunc cancel = std::move(all->cancellable.cancel);
  cancel();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(all, nullptr);
}

TEST_F(ReentranceTest, ACallbackMayDropContextsWithCallbacksThatHaveNotRun) {
  Cancellable root = WithCancel(Background());
  struct Child {
    Cancellable cancellable;
    std::optional<Registration> registration;
  };
  std::vector<std::unique_ptr<Child>> children;
  int calls = 0;
  for (int i = 0; i < 5; ++i) {
    children.push_back(std::make_unique<Child>());
    children.back()->cancellable = WithCancel(root.ctx);
    children.back()->registration.emplace(children.back()->cancellable.ctx,
                                          [&] {
                                            ++calls;
                                            children.clear();
                                          });
  }
  root.cancel();
  EXPECT_EQ(calls, 1);  // the others were stopped by their registrations
}

// ---- Values ----------------------------------------------------------------

inline constexpr Key<AtDestruction> kValue{"value"};

TEST_F(ReentranceTest, AValuesDestructorMayMakeAndEndContexts) {
  Cancellable other = WithCancel(Background());
  bool ended = false;
  {
    auto [parent, cancel_parent] = WithCancel(other.ctx);
    const Context ctx = WithValue(parent, kValue, AtDestruction([&] {
                                    auto [child, cancel] =
                                        WithCancel(other.ctx);
                                    other.cancel();
                                    ended = child.Done();
                                  }));
  }
  EXPECT_TRUE(ended);
}

TEST_F(ReentranceTest, AValuesDestructorMayAssignToTheContextThatHeldIt) {
  Context ctx;
  bool destroyed = false;
  ctx = WithValue(Background(), kValue, AtDestruction([&] {
                    destroyed = true;
                    ctx = Todo();
                  }));
  ctx = Background();
  EXPECT_TRUE(destroyed);
  EXPECT_EQ(ctx, Todo());
}

TEST_F(ReentranceTest, AValueMayHoldTheCancelFuncOfItsParent) {
  static constexpr Key<std::shared_ptr<CancelFunc>> kCancel{"cancel"};
  Context parent;
  {
    Cancellable made = WithCancel(Background());
    parent = made.ctx;
    const Context ctx =
        WithValue(made.ctx, kCancel,
                  std::make_shared<CancelFunc>(std::move(made.cancel)));
    EXPECT_FALSE(parent.Done());
  }
  EXPECT_TRUE(parent.Done());
}

// ---- TaskGroup -------------------------------------------------------------

TEST_F(ReentranceTest, CapturesOfATaskMayUseTheGroupInTheirDestructors) {
  TaskGroup group(Background());
  group.SetLimit(2);
  absl::Status waited;
  int ran = 0;
  AtDestruction more([&] {
    waited = group.Wait();
    group.Go([&] { ++ran; });
  });
  group.Go([m = std::move(more)] {});
  EXPECT_TRUE(group.Wait().ok());
  EXPECT_EQ(waited.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ran, 1);
}

TEST_F(ReentranceTest, CapturesOfADroppedTaskMayUseTheGroupToo) {
  TaskGroup group(Background(),
                  [](auto) {});  // an executor that drops every task
  absl::Status waited;
  AtDestruction wait([&] { waited = group.Wait(); });
  group.Go([w = std::move(wait)] {});
  EXPECT_EQ(waited.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(group.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(ReentranceTest, WaitFailsInACallbackOfAFailedGroup) {
  TaskGroup group(Background());
  absl::Status waited;
  Registration wait =
      AfterFunc(group.context(), [&] { waited = group.Wait(); });
  group.Go([] { return absl::AbortedError("why"); });
  EXPECT_EQ(group.Wait(), absl::AbortedError("why"));
  EXPECT_EQ(waited.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ReentranceDeathTest, ACallbackOfAFailedGroupThatDestroysItAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        // The task's thread may reset the owner before this one waits.
        auto owner = std::make_unique<TaskGroup>(Background());
        TaskGroup& group = *owner;
        Registration destroy =
            AfterFunc(group.context(), [&] { owner.reset(); });
        group.Go([] { return absl::AbortedError("why"); });
        (void)group.Wait();
      },
      "destroyed by one of its own tasks");
}

TEST_F(ReentranceTest, ACallbackThatWaitRunsMayDestroyTheGroup) {
  auto group = std::make_unique<TaskGroup>(Background());
  const Context ctx = group->context();
  Registration destroy = AfterFunc(ctx, [&] { group.reset(); });
  group->Go([] {});
  EXPECT_TRUE(group->Wait().ok());
  EXPECT_EQ(group, nullptr);
}

TEST_F(ReentranceTest, ATaskMayDestroyTheCallableThatRunsIt) {
  std::function<void()> queued;
  bool ran = false;
  TaskGroup group(Background(), [&](std::function<void()> task) {
    queued = std::move(task);
  });
  group.Go([&] {
    queued = nullptr;
    ran = true;
  });
  queued();
  EXPECT_TRUE(group.Wait().ok());
  EXPECT_TRUE(ran);
}

// ---- Channel ---------------------------------------------------------------

TEST_F(ReentranceTest, AnItemLeftInAChannelMayUseItWhenItIsDestroyed) {
  using Item = std::unique_ptr<AtDestruction>;
  absl::Status sent, received;
  auto channel = std::make_unique<Channel<Item>>(2);
  Channel<Item>* const raw = channel.get();
  const auto use = [&, raw] {
    sent = raw->Send(Background(), nullptr);
    received = raw->Receive(Background()).status();
    raw->Close();
  };
  ASSERT_TRUE(
      raw->Send(Background(), std::make_unique<AtDestruction>(use)).ok());
  channel.reset();
  EXPECT_EQ(sent.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(received.code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace tether
