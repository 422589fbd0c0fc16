// SPDX-License-Identifier: Apache-2.0
//
// Runs random programs of operations on contexts, and compares the contexts
// with a slow, obvious model (context_model.h).
//
// The input is a program: one letter per operation (see Program),
// followed by its operands. After every operation, all contexts are compared
// with the model. At the end, nothing may be left behind.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/fuzz/context_model.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/internal/live_counts.h"
#include "tether/testing/simulated_clock.h"

namespace tether::fuzz {
namespace {

constexpr int kSlots = 16;
constexpr int kMaxSteps = 300;

inline constexpr Key<int> kNumbers[] = {Key<int>("a"), Key<int>("b"),
                                        Key<int>("c")};
inline constexpr Key<std::string> kText{"text"};
// The duration that a digit means.
absl::Duration TimeOf(int digit) {
  const std::array<absl::Duration, 12> times = {
      absl::ZeroDuration(),
      absl::Nanoseconds(1),
      absl::Milliseconds(99),
      absl::Milliseconds(100),
      absl::Nanoseconds(100'000'001),
      absl::Seconds(1),
      absl::Hours(1),
      absl::Hours(24 * 366 * 200),
      absl::InfiniteDuration(),
      -absl::Seconds(1),
      -absl::Hours(24 * 366 * 200),
      -absl::InfiniteDuration(),
  };
  return times[digit];
}
constexpr int kTimes = 12;

absl::Status CauseOf(int digit) {
  return digit == 0 ? absl::OkStatus()
                    : absl::AbortedError("cause " + std::to_string(digit));
}

class Program {
 public:
  explicit Program(Input input) : input_(input), root_(Background(clock_)) {
    for (Slot& slot : slots_) slot.ctx = root_;
  }

  void Run() {
    for (int i = 0; i < kMaxSteps && !input_.done(); ++i) {
      Step();
      Check();
    }
    for (Callback& callback : callbacks_) callback.registration.reset();
    for (Slot& slot : slots_) {
      slot.cancel = CancelFunc();
      slot.ctx = Context();
      slot.owner = Context();
    }
    root_ = Context();
    FUZZ_CHECK(clock_.armed_timers() == 0);
  }

 private:
  // A variable of the program: a context, and perhaps a CancelFunc.
  struct Slot {
    Context ctx;
    int model = 0;
    CancelFunc cancel;
    Context owner;                       // the context that `cancel` ends
    int cancels = -1;                    // its model, or -1
    std::optional<absl::Time> deadline;  // the first result of Deadline()
  };

  struct Callback {
    std::unique_ptr<Registration> registration;
    int model = 0;
    int action = 0;
    int target = 0;
    int calls = 0;
    bool prevented = false;
  };

  Slot& NextSlot() { return slots_[input_.Below(kSlots)]; }
  int64_t Now() const { return clock_.SteadyNanos(); }

  void Step() {
    const uint8_t operation = input_.Next();
    if (!MakeContext(operation)) Act(operation);
  }

  // Returns false for operations that make no context.
  bool MakeContext(uint8_t operation) {
    switch (operation) {
      case 'c':  // child:  parent, slot
        Create([](const Context& parent) { return WithCancel(parent); },
               [this](int parent) { return models_.Add(parent); });
        return true;
      case 't': {  // timeout:  time, cause, parent, slot
        const absl::Duration timeout = TimeOf(input_.Below(kTimes));
        const absl::Status cause = CauseOf(input_.Below(10));
        const int64_t when = AddNanos(Now(), timeout);
        Create(
            [&](const Context& parent) {
              return WithTimeout(parent, timeout, cause);
            },
            [&](int parent) {
              return models_.AddDeadline(parent, Now(), when, cause);
            });
        return true;
      }
      case 'd': {  // deadline:  time from now, cause, parent, slot
        const absl::Duration left = TimeOf(input_.Below(kTimes));
        const absl::Status cause = CauseOf(input_.Below(10));
        const absl::Time deadline = clock_.Now() + left;
        const int64_t when = AddNanos(Now(), deadline - clock_.Now());
        Create(
            [&](const Context& parent) {
              return WithDeadline(parent, deadline, cause);
            },
            [&](int parent) {
              return models_.AddDeadline(parent, Now(), when, cause);
            });
        return true;
      }
      case 'm': {  // merge:  other, primary, slot
        const Slot& other = NextSlot();
        const Context other_ctx = other.ctx;
        const int other_model = other.model;
        Create(
            [&](const Context& primary) { return Merge(primary, other_ctx); },
            [&](int primary) {
              return models_.AddMerge(primary, other_model, Now());
            });
        return true;
      }
      case 'v':  // value:  key, parent, slot
        AddValue();
        return true;
      case 'w': {  // without cancel:  parent, slot
        const Slot& parent = NextSlot();
        const Context ctx = WithoutCancel(parent.ctx);
        Put(NextSlot(), ctx, models_.AddDetached(parent.model));
        return true;
      }
      case '=': {  // copy:  from, to
        const Slot& from = NextSlot();
        const Context ctx = from.ctx;
        Put(NextSlot(), ctx, from.model);
        return true;
      }
      default:
        return false;
    }
  }

  void Act(uint8_t operation) {
    switch (operation) {
      case 'x': {  // cancel:  cause, slot
        const absl::Status cause = CauseOf(input_.Below(10));
        return Cancel(NextSlot(), cause);
      }
      case 'X':  // drop the CancelFunc:  slot
        return DropCancel(NextSlot());
      case 'D':  // drop the context:  slot
        return Put(NextSlot(), root_, 0);
      case 'M':  // move the CancelFunc:  from, to
        return MoveCancel();
      case 'a':  // after func:  action, target, slot
        return Register();
      case 's':  // stop:  callback
        return Stop(input_.Below(kSlots));
      case 'r':  // drop a registration:  callback
        return Drop(input_.Below(kSlots));
      case '+': {  // advance the clock:  time
        const absl::Duration step = TimeOf(input_.Below(kTimes));
        clock_.Advance(step);
        return models_.Pass(Now());
      }
      case 'j':  // the wall clock jumps:  time
        return clock_.JumpWallClock(std::clamp(
            TimeOf(input_.Below(kTimes)), -absl::Hours(1), absl::Hours(1)));
      default:
        return;
    }
  }

  // Makes a child of the next slot's context, in the slot after that. Drops
  // that slot's CancelFunc first, since callbacks check the slots.
  template <typename Make, typename MakeModel>
  void Create(Make make, MakeModel make_model) {
    const Slot& parent_slot = NextSlot();
    const Context parent = parent_slot.ctx;
    const int parent_model = parent_slot.model;
    Slot& slot = NextSlot();
    DropCancel(slot);
    Cancellable made = make(parent);
    const int model = make_model(parent_model);
    Put(slot, made.ctx, model);
    // DebugString repeats a chain for each merge that it is part of.
    FUZZ_CHECK(models_.at(model).chains == kManyChains ||
               !made.ctx.DebugString().empty());
    slot.cancel = std::move(made.cancel);
    slot.cancels = model;
    slot.owner = made.ctx;
  }

  void AddValue() {
    const int key = input_.Below(kKeys);
    const Slot& parent = NextSlot();
    const int value = ++last_value_;
    const Context ctx =
        key < 3 ? WithValue(parent.ctx, kNumbers[key], value)
                : WithValue(parent.ctx, kText, std::to_string(value));
    const int model = models_.Add(parent.model);
    models_.SetValue(model, key, value);
    Put(NextSlot(), ctx, model);
  }

  static void Put(Slot& slot, const Context& ctx, int model) {
    slot.ctx = ctx;
    slot.model = model;
    slot.deadline.reset();
  }

  void Cancel(Slot& slot, const absl::Status& cause) {
    if (slot.cancels >= 0) models_.Cancel(slot.cancels, cause);
    slot.cancel(cause);
    FUZZ_CHECK(slot.cancels < 0 || slot.owner.Done());
  }

  void DropCancel(Slot& slot) {
    if (slot.cancels >= 0) models_.Cancel(slot.cancels, absl::OkStatus());
    slot.cancels = -1;
    slot.owner = root_;
    slot.cancel = CancelFunc();
  }

  void MoveCancel() {
    Slot& from = NextSlot();
    Slot& to = NextSlot();
    if (&from == &to) return;
    DropCancel(to);
    to.cancel = std::move(from.cancel);
    to.cancels = std::exchange(from.cancels, -1);
    to.owner = std::exchange(from.owner, root_);
    from.cancel();  // no effect, since it was moved from
  }

  void Register() {
    if (callbacks_.size() == kSlots) return;
    callbacks_.reserve(kSlots);  // callbacks refer to their entry
    Callback& callback = callbacks_.emplace_back();
    callback.action = input_.Below(5);
    callback.target = input_.Below(kSlots);
    const Slot& slot = NextSlot();
    callback.model = slot.model;
    const Context ctx = slot.ctx;
    callback.registration =
        std::make_unique<Registration>(ctx, [this, &callback, ctx] {
          FUZZ_CHECK(ctx.Done());
          ++callback.calls;
          RunAction(callback);
        });
  }

  // The action of a callback.
  void RunAction(const Callback& callback) {
    Slot& slot = slots_[callback.target];
    switch (callback.action) {
      case 1:
        return Stop(callback.target);
      case 2:
        return Drop(callback.target);
      case 3:
        if (MayCancel(slot)) Cancel(slot, CauseOf(1));
        return;
      case 4: {
        Cancellable child = WithCancel(slot.ctx);
        bool called = false;
        const Registration registration =
            AfterFunc(child.ctx, [&called] { called = true; });
        child.cancel();
        FUZZ_CHECK(called && child.ctx.Done());
        return;
      }
      default:
        return;
    }
  }

  // False while a merge below has not ended yet although one of its parents
  // has: its reason would depend on the order of callbacks, which is
  // unspecified.
  bool MayCancel(const Slot& slot) {
    if (slot.cancels < 0) return false;
    models_.Pass(Now());
    const std::vector<bool> below = models_.Below(slot.cancels);
    for (const Slot& s : slots_) {
      if (below[s.model] &&
          s.ctx.Done() != (models_.at(s.model).end != End::kLive)) {
        return false;
      }
    }
    return true;
  }

  void Stop(int index) {
    if (index >= static_cast<int>(callbacks_.size())) return;
    Callback& callback = callbacks_[index];
    if (callback.registration == nullptr) return;
    const bool prevented = callback.registration->Stop();
    FUZZ_CHECK(!(prevented && callback.prevented));
    callback.prevented |= prevented;
    FUZZ_CHECK(callback.prevented ? callback.calls == 0 : callback.calls == 1);
    FUZZ_CHECK(!callback.registration->Stop());
  }

  void Drop(int index) {
    if (index >= static_cast<int>(callbacks_.size())) return;
    Callback& callback = callbacks_[index];
    if (callback.registration == nullptr) return;
    callback.registration.reset();
    if (callback.calls == 0) callback.prevented = true;
  }

  void Check() {
    models_.Pass(Now());
    for (Slot& slot : slots_) CheckSlot(slot);
    for (const Callback& callback : callbacks_) {
      const bool ended = models_.at(callback.model).end != End::kLive;
      FUZZ_CHECK(callback.calls == (ended && !callback.prevented ? 1 : 0));
    }
  }

  void CheckSlot(Slot& slot) {
    const Model& model = models_.at(slot.model);
    const Context& ctx = slot.ctx;
    FUZZ_CHECK(ctx.Done() == (model.end != End::kLive));
    FUZZ_CHECK(ctx.Err() == ErrOf(model.end));
    FUZZ_CHECK(ctx.Cause() ==
               (model.cause.ok() ? ErrOf(model.end) : model.cause));
    FUZZ_CHECK(ctx.Remaining() == (model.deadline == kNever
                                       ? absl::InfiniteDuration()
                                       : absl::Nanoseconds(model.deadline) -
                                             absl::Nanoseconds(Now())));
    FUZZ_CHECK(ctx.Remaining() > absl::ZeroDuration() || ctx.Done());
    const absl::Time deadline = ctx.Deadline();
    FUZZ_CHECK((deadline == absl::InfiniteFuture()) ==
               (model.deadline == kNever));
    if (!slot.deadline.has_value()) slot.deadline = deadline;
    FUZZ_CHECK(deadline == *slot.deadline);
    for (int key = 0; key < 3; ++key) {
      const int* value = ctx.Value(kNumbers[key]);
      FUZZ_CHECK(model.values[key] ==
                 (value == nullptr ? std::nullopt : std::optional(*value)));
    }
    const std::string* text = ctx.Value(kText);
    FUZZ_CHECK((text != nullptr) == model.values[3].has_value());
    FUZZ_CHECK(text == nullptr || *text == std::to_string(*model.values[3]));
  }

  testing::SimulatedClock clock_;
  Input input_;
  Models models_;
  Context root_;
  std::array<Slot, kSlots> slots_;
  std::vector<Callback> callbacks_;
  int last_value_ = 0;
};

int64_t Live(internal::Live kind) { return internal::LiveCount(kind); }

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tether::fuzz::Live;
  using Kind = tether::internal::Live;
  tether::fuzz::Program(tether::fuzz::Input(data, size)).Run();
  FUZZ_CHECK(Live(Kind::kNode) == 0);
  FUZZ_CHECK(Live(Kind::kCallback) == 0);
  FUZZ_CHECK(Live(Kind::kTimer) == 0);
  return 0;
}
