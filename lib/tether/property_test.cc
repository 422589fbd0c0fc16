// SPDX-License-Identifier: Apache-2.0
//
// Compares random trees of contexts with a slow, obvious model. To repeat a
// run, pass the --gtest_random_seed that it prints.

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"
#include "tether/testing/simulated_clock.h"

namespace tether {
namespace {

constexpr Key<int> kKeys[] = {Key<int>("a"), Key<int>("b"), Key<int>("c"),
                              Key<int>("d"), Key<int>("e")};
constexpr int kKeyCount = 5;
constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

// ---- The model -------------------------------------------------------------

// Everything that the model knows about a context. It never frees anything.
struct ModelNode {
  int parent = -1;  // also of its values
  int other = -1;   // the second parent of a merge
  bool detached = false;
  int key = -1;
  int value = 0;
  int64_t deadline = kNone;  // its own or its parent's; nanoseconds
  absl::Status deadline_cause;
  absl::Status err;  // OK: live
  absl::Status cause;
};

class Model {
 public:
  Model() : nodes_(1) {}  // node 0 is Background

  const ModelNode& operator[](int id) const { return nodes_[id]; }
  int64_t now() const { return now_; }
  int size() const { return static_cast<int>(nodes_.size()); }

  // Adds a child of any kind. `deadline` is its own deadline.
  int Add(int parent, int64_t deadline, absl::Status cause, int other = -1) {
    ModelNode node;
    node.parent = parent;
    node.other = other;
    node.deadline = nodes_[parent].deadline;
    node.deadline_cause = nodes_[parent].deadline_cause;
    // If both deadlines are equal, the child's own cause counts.
    if (deadline < node.deadline ||
        (deadline == node.deadline && !cause.ok())) {
      node.deadline = deadline;
      node.deadline_cause = cause;
    }
    if (other >= 0 && nodes_[other].deadline < node.deadline) {
      node.deadline = nodes_[other].deadline;
      node.deadline_cause = nodes_[other].deadline_cause;
    }
    nodes_.push_back(node);
    const int id = size() - 1;
    if (!nodes_[parent].err.ok()) {
      End(id, nodes_[parent].err, nodes_[parent].cause);
    } else if (other >= 0 && !nodes_[other].err.ok()) {
      End(id, nodes_[other].err, nodes_[other].cause);
    } else {
      ExpireAt(now_);
    }
    return id;
  }

  int AddValue(int parent, int key, int value) {
    const int id = Add(parent, kNone, {});
    nodes_[id].key = key;
    nodes_[id].value = value;
    return id;
  }

  int AddDetached(int parent) {
    ModelNode node;
    node.parent = parent;
    node.detached = true;
    nodes_.push_back(node);
    return size() - 1;
  }

  void Cancel(int id, const absl::Status& cause) {
    End(id, absl::CancelledError("context canceled"), cause);
  }

  void AdvanceTo(int64_t time) {
    for (;;) {
      int64_t next = kNone;
      for (const ModelNode& n : nodes_) {
        if (n.err.ok()) next = std::min(next, n.deadline);
      }
      if (next > time || next == kNone) break;
      ExpireAt(next);
    }
    now_ = time;
  }

  std::optional<int> Value(int id, int key) const {
    for (; id >= 0; id = nodes_[id].parent) {
      if (nodes_[id].key == key) return nodes_[id].value;
    }
    return std::nullopt;
  }

 private:
  void End(int id, const absl::Status& err, const absl::Status& cause) {
    if (!nodes_[id].err.ok()) return;
    nodes_[id].err = err;
    nodes_[id].cause = cause.ok() ? err : cause;
    for (int i = 0; i < size(); ++i) {
      if ((nodes_[i].parent == id && !nodes_[i].detached) ||
          nodes_[i].other == id) {
        End(i, err, nodes_[id].cause);
      }
    }
  }

  void ExpireAt(int64_t time) {
    // All of them end at once, each with its own cause.
    std::vector<int> expired;
    for (int i = 0; i < size(); ++i) {
      if (nodes_[i].err.ok() && nodes_[i].deadline <= time) {
        expired.push_back(i);
        nodes_[i].err =
            absl::DeadlineExceededError("context deadline exceeded");
        nodes_[i].cause = nodes_[i].deadline_cause.ok()
                              ? nodes_[i].err
                              : nodes_[i].deadline_cause;
      }
    }
    for (int id : expired) {
      const ModelNode ended = nodes_[id];
      for (int i = 0; i < size(); ++i) {
        if ((nodes_[i].parent == id && !nodes_[i].detached) ||
            nodes_[i].other == id) {
          End(i, ended.err, ended.cause);
        }
      }
    }
  }

  std::vector<ModelNode> nodes_;
  int64_t now_ = 0;
};

// ---- The program -----------------------------------------------------------

class Program {
 public:
  Program(uint32_t seed, testing::SimulatedClock& clock)
      : random_(seed), clock_(clock), start_(clock.Now()) {
    handles_.push_back({0, Background(clock), CancelFunc()});
  }

  void Step() {
    switch (Random(16)) {
      case 0:
      case 1: {
        const int id = model_.Add(Pick(), kNone, {});
        return Keep(id, WithCancel(PickedCtx()));
      }
      case 2:
      case 3:
      case 4:
        return AddDeadline();
      case 5:
      case 6: {
        const int key = Random(kKeyCount);
        const int value = Random(1000);
        const int id = model_.AddValue(Pick(), key, value);
        return Keep(id, {WithValue(PickedCtx(), kKeys[key], value), {}});
      }
      case 7: {
        const int id = model_.AddDetached(Pick());
        return Keep(id, {WithoutCancel(PickedCtx()), {}});
      }
      case 8:
      case 9: {
        const int other = Random(handles_.size());
        const int id = model_.Add(Pick(), kNone, {}, handles_[other].id);
        return Keep(id, Merge(PickedCtx(), handles_[other].ctx));
      }
      case 10: {
        Pick();
        if (picked_ == 0) return;
        if (!handles_[picked_].can_cancel) return;
        const absl::Status cause = RandomCause();
        model_.Cancel(handles_[picked_].id, cause);
        return handles_[picked_].cancel(cause);
      }
      case 11:
        return DropHandle();
      case 12:
        return Advance();
      case 13:
      case 14: {
        const int id = Pick();
        callbacks_.push_back(std::make_unique<Callback>());
        Callback& callback = *callbacks_.back();
        callback.node = id;
        callback.registration.emplace(PickedCtx(),
                                      [&callback] { ++callback.calls; });
        return;
      }
      case 15:
        return StopCallback();
    }
  }

  // Compares everything with the model.
  void Check() {
    for (const Handle& handle : handles_) {
      const ModelNode& node = model_[handle.id];
      const Context& ctx = handle.ctx;
      SCOPED_TRACE(handle.id);
      ASSERT_EQ(ctx.Done(), !node.err.ok());
      ASSERT_EQ(ctx.Err(), node.err);
      ASSERT_EQ(ctx.Cause(), node.cause);
      ASSERT_EQ(ctx.WaitFor(absl::ZeroDuration()), !node.err.ok());
      if (node.deadline == kNone) {
        ASSERT_EQ(ctx.Deadline(), absl::InfiniteFuture());
        ASSERT_EQ(ctx.Remaining(), absl::InfiniteDuration());
      } else {
        ASSERT_EQ(ctx.Deadline(), start_ + absl::Nanoseconds(node.deadline));
        ASSERT_EQ(ctx.Remaining(),
                  absl::Nanoseconds(node.deadline - model_.now()));
      }
      for (int key = 0; key < kKeyCount; ++key) {
        const int* value = ctx.Value(kKeys[key]);
        ASSERT_EQ(value == nullptr ? std::nullopt : std::optional(*value),
                  model_.Value(handle.id, key));
      }
    }
    for (const auto& callback : callbacks_) {
      const bool due = !callback->stopped && !model_[callback->node].err.ok();
      ASSERT_EQ(callback->calls, due ? 1 : 0);
    }
  }

  // In a random order.
  void DropEverything() {
    std::shuffle(callbacks_.begin(), callbacks_.end(), random_);
    std::shuffle(handles_.begin(), handles_.end(), random_);
    while (!callbacks_.empty() || !handles_.empty()) {
      if (!callbacks_.empty() && Random(2) == 0) {
        callbacks_.pop_back();
      } else if (!handles_.empty()) {
        handles_.pop_back();
      }
    }
  }

 private:
  struct Handle {
    int id;
    Context ctx;
    CancelFunc cancel;
    bool can_cancel = false;
  };
  struct Callback {
    int node;
    int calls = 0;
    bool stopped = false;
    // Made last, so it is destroyed first.
    std::optional<Registration> registration;
  };

  int Random(size_t n) { return static_cast<int>(random_() % n); }

  // The model's id of a random context. Newer contexts are more likely, so that
  // trees grow deep.
  int Pick() {
    const size_t size = handles_.size();
    picked_ =
        Random(3) == 0 ? Random(size) : std::max(Random(size), Random(size));
    return handles_[picked_].id;
  }
  const Context& PickedCtx() const { return handles_[picked_].ctx; }

  absl::Status RandomCause() {
    if (Random(2) == 0) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat("cause ", Random(1'000'000)));
  }

  void Keep(int id, Cancellable made) {
    const bool can_cancel = model_[id].key < 0 && !model_[id].detached;
    handles_.push_back(
        {id, std::move(made.ctx), std::move(made.cancel), can_cancel});
    while (handles_.size() > 40) DropHandle();
  }

  void AddDeadline() {
    // Near and far deadlines, on both sides of 0.1 s; some have passed. There
    // are few different ones, so that some are equal.
    static constexpr std::array<int64_t, 10> kTimeouts = {
        0,           1,           50'000'000,    99'999'999,    100'000'000,
        100'000'001, 150'000'000, 1'000'000'000, 2'000'000'000, -5};
    const int64_t timeout = kTimeouts[Random(kTimeouts.size())];
    const absl::Status cause = RandomCause();
    const int64_t deadline = model_.now() + timeout;
    switch (Random(8)) {
      case 0: {
        const int id = model_.Add(Pick(), kNone, {});
        return Keep(id, WithTimeout(PickedCtx(), absl::InfiniteDuration()));
      }
      case 1:
      case 2: {
        const int id = model_.Add(Pick(), deadline, cause);
        return Keep(
            id, WithDeadline(PickedCtx(), start_ + absl::Nanoseconds(deadline),
                             cause));
      }
      default: {
        const int id = model_.Add(Pick(), deadline, cause);
        return Keep(
            id, WithTimeout(PickedCtx(), absl::Nanoseconds(timeout), cause));
      }
    }
  }

  void DropHandle() {
    if (handles_.size() == 1) return;
    const int dropped = 1 + Random(handles_.size() - 1);
    Handle handle = std::move(handles_[dropped]);
    handles_.erase(handles_.begin() + dropped);
    if (handle.can_cancel) model_.Cancel(handle.id, absl::OkStatus());
    // Destroys the context before or after its CancelFunc.
    if (Random(2) == 0) handle.ctx = Context();
  }

  void Advance() {
    static constexpr std::array<int64_t, 8> kSteps = {
        1,           49'999'999,  50'000'000,  99'999'999,
        100'000'000, 900'000'000, 100'000'001, 5'000'000'000};
    const int64_t step = kSteps[Random(kSteps.size())];
    model_.AdvanceTo(model_.now() + step);
    clock_.Advance(absl::Nanoseconds(step));
  }

  void StopCallback() {
    if (callbacks_.empty()) return;
    const int i = Random(callbacks_.size());
    Callback& callback = *callbacks_[i];
    const bool live = model_[callback.node].err.ok();
    ASSERT_EQ(callback.registration->Stop(), live && !callback.stopped);
    callback.stopped |= live;
    ASSERT_EQ(callback.calls, live || callback.stopped ? 0 : 1);
    if (Random(2) == 0) callbacks_.erase(callbacks_.begin() + i);
  }

  std::mt19937 random_;
  testing::SimulatedClock& clock_;
  const absl::Time start_;
  Model model_;
  std::vector<Handle> handles_;
  std::vector<std::unique_ptr<Callback>> callbacks_;
  int picked_ = 0;
};

class PropertyTest : public testing::LeakCheckedTest {};

TEST_F(PropertyTest, RandomProgramsAgreeWithTheModel) {
  constexpr int kPrograms = 400;
  constexpr int kSteps = 300;  // 120,000 operations in all
  const auto seed =
      static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::cout << "--gtest_random_seed=" << seed << std::endl;
  for (int i = 0; i < kPrograms; ++i) {
    SCOPED_TRACE(::testing::Message()
                 << "program " << i << " of seed " << seed);
    testing::SimulatedClock clock;
    Program program(seed * kPrograms + i, clock);
    for (int step = 0; step < kSteps; ++step) {
      program.Step();
      if (step % 8 == 0) program.Check();
      if (HasFailure()) {
        FAIL() << "at step " << step;
      }
    }
    program.Check();
    program.DropEverything();
    ASSERT_EQ(clock.armed_timers(), 0u);
    ASSERT_EQ(LiveNodes(), 0);
    ASSERT_EQ(LiveCallbacks(), 0);
  }
}

}  // namespace
}  // namespace tether
