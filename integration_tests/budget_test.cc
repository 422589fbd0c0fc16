// Which hop used the time up? Three hops, storefront → orders → inventory; one
// of them, or the link to it, is slow or stands still; and the client's message
// and its report must name that one.
//
// Times are real, since gRPC's are. Each case is run --runs times, and at least
// 99 of 100 must name the right one. A machine that stands still for longer
// than a hop keeps back (Reserve) makes that hop's caller give up first, and
// then the caller knows of nobody but the hop. An answer takes less than a
// millisecond on an idle machine, and the default reserve is enough there:
// --reserve=0 takes that. The tests have two cores, and other tests and
// compilers beside them, which stand still for 50 ms now and then: so each hop
// keeps back 150 ms. Runs overlap, a new one every kEvery, so that they don't
// all end at one moment.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/budget_chain.h"
#include "tether/budget/explain.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/task_group.h"
#include "tether/testing/give_up.h"
#include "tether/v1/budget_report.pb.h"

ABSL_FLAG(int, runs, 100, "How often each case is run.");
ABSL_FLAG(absl::Duration, timeout, absl::Milliseconds(1800),
          "The deadline of each run.");
ABSL_FLAG(absl::Duration, reserve, absl::Milliseconds(150),
          "What each hop keeps back; 0: the default.");

namespace tether {
namespace {

using ::testing::HasSubstr;
using testing::kGiveUp;
using ::testing::Not;

constexpr int kStorefront = BudgetChain::kStorefront;
constexpr int kOrders = BudgetChain::kOrders;
constexpr int kInventory = BudgetChain::kInventory;
constexpr int kHops = BudgetChain::kHops;
constexpr const char* kNames[] = {"storefront.GetOrderPage", "orders.GetOrder",
                                  "inventory.GetStock"};

constexpr absl::Duration kEvery = absl::Milliseconds(12);

using Options = BudgetChain::Options;
using Result = BudgetChain::Result;
using CallNext = BudgetChain::CallNext;
using When = ReportOptions::When;

// Who is named first: "inventory.GetStock 1.7s (did not answer)".
std::string Culprit(const std::string& message) {
  constexpr char kBefore[] = ", of which ";
  const size_t at = message.find(kBefore);
  if (at == std::string::npos) return "";
  const size_t begin = at + sizeof kBefore - 1;
  return message.substr(begin, message.find(", ", begin) - begin);
}

// What the report says of the call to `hop`, if it came that far.
const v1::CallReport* CallTo(int hop, const v1::CallReport& report) {
  const v1::CallReport* call = &report;
  for (int i = 0; i < hop; ++i) {
    if (!call->has_report() || call->report().calls_size() == 0) return nullptr;
    call = &call->report().calls(call->report().calls_size() - 1);
  }
  return call;
}

class BudgetTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Waits for its context, which ends when the hop's time is up.
  static grpc::Status UntilTheEnd(const Context& ctx, const CallNext&,
                                  grpc::ServerContextBase&) {
    ctx.Wait();
    return StatusOf(ctx);
  }

  // Never looks at its context.
  BudgetChain::Handler Stuck() {
    return [this](const Context&, const CallNext&, grpc::ServerContextBase&) {
      release_.WaitForNotification();
      return grpc::Status::OK;
    };
  }

  // How many of the runs satisfy `is_right`.
  int CountRight(BudgetChain& chain,
                 const std::function<bool(const Result&)>& is_right) {
    const int runs = absl::GetFlag(FLAGS_runs);
    EXPECT_TRUE(chain.Connect(kGiveUp));
    int right = 0;
    absl::Mutex mutex;
    std::vector<std::string> wrong;
    std::string example;
    std::vector<std::thread> clients;
    const absl::Time start = absl::Now();
    for (int i = 0; i < runs; ++i) {
      absl::SleepFor(start + i * kEvery - absl::Now());
      clients.emplace_back([&] {
        const Result result = chain.Call(absl::GetFlag(FLAGS_timeout));
        absl::MutexLock lock(&mutex);
        if (is_right(result)) {
          ++right;
          example = result.status.error_message();
        } else {
          wrong.push_back(absl::StrCat(result.status.error_code(), " ",
                                       result.status.error_message(), "\n",
                                       Explain(result.report)));
        }
      });
    }
    for (std::thread& client : clients) client.join();
    release_.Notify();
    std::printf("%d of %d: %s\n", right, runs, example.c_str());
    for (size_t i = 0; i < wrong.size() && i < 3; ++i) {
      std::printf("not: %s\n", wrong[i].c_str());
    }
    return right;
  }

  // At least 99 of 100 name `culprit` first and, in the report, the call to
  // `hop` as one that was answered or not.
  void ExpectBlame(Options options, const std::string& culprit, int hop,
                   bool answered, int stalled_link = -1) {
    if (const absl::Duration reserve = absl::GetFlag(FLAGS_reserve);
        reserve > absl::ZeroDuration()) {
      options.client.reserve = {reserve, 0, reserve};
    }
    BudgetChain chain(std::move(options));
    EXPECT_TRUE(chain.Connect(kGiveUp));
    if (stalled_link >= 0) chain.StallLink(stalled_link);
    const int right = CountRight(chain, [&](const Result& result) {
      const v1::CallReport* call = CallTo(hop, result.report);
      return result.status.error_code() ==
                 grpc::StatusCode::DEADLINE_EXCEEDED &&
             absl::StartsWith(Culprit(result.status.error_message()),
                              absl::StrCat(culprit, " ")) &&
             call != nullptr && call->answered() == answered;
    });
    EXPECT_GE(right * 100, 99 * absl::GetFlag(FLAGS_runs));
  }

  absl::Notification release_;
};

// ---- A slow hop -------------------------------------------------------------

class EachHopTest : public BudgetTest,
                    public ::testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(Hops, EachHopTest,
                         ::testing::Values(kStorefront, kOrders, kInventory),
                         [](const auto& param_info) {
                           return param_info.param == kStorefront ? "Front"
                                  : param_info.param == kOrders   ? "Middle"
                                                                  : "Leaf";
                         });

// It looks at its context, and says in time that it was too slow.
TEST_P(EachHopTest, ASlowOneIsNamed) {
  Options options;
  options.handlers[GetParam()] = UntilTheEnd;
  options.callback_api = {false, true, false};
  ExpectBlame(std::move(options), kNames[GetParam()], GetParam(),
              /*answered=*/true);
}

TEST_P(EachHopTest, OneThatStandsStillForEverIsNamed) {
  Options options;
  options.handlers[GetParam()] = Stuck();
  options.callback_api = {true, false, true};
  ExpectBlame(std::move(options), kNames[GetParam()], GetParam(),
              /*answered=*/false);
}

// Nobody can tell a hop that does nothing from a network that does nothing: the
// one behind it is named, as one that did not answer.
TEST_P(EachHopTest, AStalledLinkIsNamedByTheHopBehindIt) {
  ExpectBlame(Options(), kNames[GetParam()], GetParam(), /*answered=*/false,
              /*stalled_link=*/GetParam());
}

// The control: without reserve and reports, the client knows of nobody but the
// hop that it called itself.
TEST_F(BudgetTest, ControlWithoutReserveAndReportsTheLeafIsNotNamed) {
  Options options;
  options.handlers[kInventory] = UntilTheEnd;
  options.client.reserve = Reserve::None();
  options.server.report.when = When::kNever;
  BudgetChain chain(std::move(options));
  const auto names_leaf = [](const Result& result) {
    return absl::StrContains(result.status.error_message(), "inventory");
  };
  // But for requests that have waited on the way: these have a reserve.
  EXPECT_LT(CountRight(chain, names_leaf), absl::GetFlag(FLAGS_runs) / 2);
}

// ---- A slow network ---------------------------------------------------------

// Calls the next hop until that has no time for it any more.
grpc::Status Again(const Context& ctx, const CallNext& next,
                   grpc::ServerContextBase&) {
  for (;;) {
    const grpc::Status status = next(ctx, {});
    if (!status.ok()) return status;
  }
}

class SlowLinkTest : public BudgetTest,
                     public ::testing::WithParamInterface<int> {
 protected:
  // The caller makes a call after the other over it, each of which takes 0.4 s
  // for next to nothing.
  static Options Slow(int link) {
    Options options;
    options.handlers[link - 1] = Again;
    options.link_delays[link] = absl::Milliseconds(200);
    options.server.report.when = When::kAlways;
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Links, SlowLinkTest,
                         ::testing::Values(kOrders, kInventory),
                         [](const auto& param_info) {
                           return param_info.param == kOrders ? "ToMiddle"
                                                              : "ToLeaf";
                         });

TEST_P(SlowLinkTest, IsNamed) {
  ExpectBlame(
      Slow(GetParam()),
      GetParam() == kOrders ? "network to orders" : "network to inventory",
      // The last call was one too many.
      GetParam(), /*answered=*/false);
}

// The link in front of the client's own first hop: that hop ends with its time,
// and its answer comes too late. All that the client knows is that none came.
TEST_F(BudgetTest, ASlowLinkFromTheClientIsNamedByTheHopBehindIt) {
  Options options;
  options.handlers[kInventory] = UntilTheEnd;
  options.link_delays[kStorefront] = absl::GetFlag(FLAGS_timeout) / 3;
  ExpectBlame(std::move(options), kNames[kStorefront], kStorefront,
              /*answered=*/false);
}

// ---- Who ended it, at every hop ---------------------------------------------

class WhoEndedItTest : public BudgetTest {
 protected:
  // What `hop` found when it was over; kNone after kGiveUp.
  EndReason ReasonAt(int hop) {
    absl::MutexLock lock(&mutex_);
    const auto known = [this, hop] {
      mutex_.AssertHeld();
      return noted_[hop];
    };
    mutex_.AwaitWithTimeout(absl::Condition(&known), kGiveUp);
    return reasons_[hop];
  }

  void Note(int hop, const Context& ctx) {
    const EndReason reason = EndReasonOf(ctx);
    absl::MutexLock lock(&mutex_);
    reasons_[hop] = reason;
    noted_[hop] = true;
  }

  // Each hop calls the next one, and the leaf waits for its end; then all wait
  // for theirs, for `patience`, and note why it came.
  Options Noting(absl::Duration patience) {
    Options options;
    for (int hop = 0; hop < kHops; ++hop) {
      options.handlers[hop] = [this, hop, patience](const Context& ctx,
                                                    const CallNext& next,
                                                    grpc::ServerContextBase&) {
        if (hop == kInventory) {
          in_leaf_.Notify();
          ctx.WaitFor(kGiveUp);
        }
        const grpc::Status status =
            hop == kInventory ? StatusOf(ctx) : next(ctx, {});
        ctx.WaitFor(patience);
        Note(hop, ctx);
        return status;
      };
    }
    options.server.report.when = When::kAlways;
    return options;
  }

  absl::Notification in_leaf_;

 private:
  absl::Mutex mutex_;
  std::array<EndReason, kHops> reasons_ ABSL_GUARDED_BY(mutex_) = {};
  std::array<bool, kHops> noted_ ABSL_GUARDED_BY(mutex_) = {};
};

TEST_F(WhoEndedItTest, TheDeadlineThatCameWithTheRequest) {
  BudgetChain chain(Noting(kGiveUp));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(absl::Milliseconds(500));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  for (int hop = 0; hop < kHops; ++hop) {
    EXPECT_EQ(ReasonAt(hop), EndReason::kInheritedDeadline) << hop;
  }
}

TEST_F(WhoEndedItTest, ATimeoutOfTheHopsOwn) {
  Options options = Noting(absl::ZeroDuration());
  options.handlers[kOrders] = [this](const Context& ctx, const CallNext& next,
                                     grpc::ServerContextBase&) {
    const auto [stock_ctx, cancel] = WithTimeout(ctx, absl::Milliseconds(200));
    const grpc::Status status = next(stock_ctx, {});
    stock_ctx.Wait();
    Note(kOrders, stock_ctx);
    return status;
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kInheritedDeadline);
  EXPECT_EQ(ReasonAt(kOrders), EndReason::kOwnTimeout);
  // Its context had time left.
  EXPECT_EQ(ReasonAt(kStorefront), EndReason::kNone);
  EXPECT_THAT(result.status.error_message(), HasSubstr(kNames[kInventory]));
}

TEST_F(WhoEndedItTest, TheCallerLeft) {
  BudgetChain chain(Noting(kGiveUp));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  auto [ctx, cancel] = WithCancel(Background());
  std::thread leaver([this, &leave = cancel] {
    in_leaf_.WaitForNotification();
    leave();
  });
  const Result result = chain.Call(ctx);
  leaver.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(result.report.reason(), v1::END_REASON_CANCELLED);
  EXPECT_FALSE(result.report.answered());
  for (int hop = 0; hop < kHops; ++hop) {
    EXPECT_EQ(ReasonAt(hop), EndReason::kCallerLeft) << hop;
  }
}

// The client's side of a call knows that it was the connection. The server's
// can't: for gRPC it is a caller that left.
TEST_F(WhoEndedItTest, TheConnectionBroke) {
  BudgetChain chain(Noting(absl::ZeroDuration()));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  std::thread cutter([&] {
    in_leaf_.WaitForNotification();
    chain.CutLink(kInventory);
  });
  const Result result = chain.Call(kGiveUp);
  cutter.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kCallerLeft);
  const v1::CallReport* call = CallTo(kInventory, result.report);
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->reason(), v1::END_REASON_CONNECTION_LOST);
  EXPECT_FALSE(call->answered());
  EXPECT_THAT(Explain(result.report), HasSubstr("connection lost"));
}

TEST_F(WhoEndedItTest, TheServerShutsDown) {
  Options options = Noting(absl::ZeroDuration());
  auto [base_context, cancel_base_context] = WithCancel(Background());
  options.base_contexts[kOrders] = base_context;
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  std::thread shutdown([&, &end = cancel_base_context] {
    in_leaf_.WaitForNotification();
    ShutdownServer(chain.server(kOrders), end, absl::Milliseconds(20), kGiveUp);
  });
  const Result result = chain.Call(kGiveUp);
  shutdown.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(ReasonAt(kStorefront), EndReason::kNone);
  EXPECT_EQ(ReasonAt(kOrders), EndReason::kServerShutdown);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kCallerLeft);
  const v1::CallReport* orders = CallTo(kOrders, result.report);
  ASSERT_NE(orders, nullptr);
  EXPECT_TRUE(orders->answered());
  EXPECT_EQ(orders->report().reason(), v1::END_REASON_SERVER_SHUTDOWN);
  const v1::CallReport* inventory = CallTo(kInventory, result.report);
  ASSERT_NE(inventory, nullptr);
  EXPECT_EQ(inventory->reason(), v1::END_REASON_SERVER_SHUTDOWN);
}

TEST_F(WhoEndedItTest, ASiblingFailed) {
  Options options = Noting(kGiveUp);
  options.handlers[kStorefront] = [this](const Context& ctx,
                                         const CallNext& next,
                                         grpc::ServerContextBase&) {
    TaskGroup group(ctx);
    group.Go([&](const Context& task_ctx) {
      next(task_ctx, {});
      Note(kStorefront, task_ctx);
    });
    group.Go([&]() -> absl::Status {
      in_leaf_.WaitForNotification();
      return absl::NotFoundError("no such customer");
    });
    return ToGrpcStatus(group.Wait());
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonAt(kStorefront), EndReason::kSiblingFailed);
  EXPECT_EQ(ReasonAt(kOrders), EndReason::kCallerLeft);
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kCallerLeft);
  const v1::CallReport* orders = CallTo(kOrders, result.report);
  ASSERT_NE(orders, nullptr);
  EXPECT_EQ(orders->reason(), v1::END_REASON_SIBLING_FAILED);
  EXPECT_EQ(result.report.report().reason(), v1::END_REASON_COMPLETED);
}

TEST_F(WhoEndedItTest, TooLittleTimeWasLeft) {
  Options options = Noting(absl::ZeroDuration());
  MethodPolicy policy;
  policy.pattern = "/shop.v1.Inventory/*";
  policy.time.min_budget = 2 * kGiveUp;
  options.server.methods.push_back(policy);
  options.server.shed_fraction = 1;
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const absl::Time start = absl::Now();
  const Result result = chain.Call(kGiveUp);
  EXPECT_LT(absl::Now() - start, kGiveUp / 2);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(result.status.error_message(), HasSubstr("min_budget"));
  EXPECT_EQ(ReasonAt(kInventory), EndReason::kTooLittleTime);
  const v1::CallReport* inventory = CallTo(kInventory, result.report);
  ASSERT_NE(inventory, nullptr);
  EXPECT_TRUE(inventory->answered());
  EXPECT_EQ(inventory->outcome(), 4);
}

// ---- What one call asks for -------------------------------------------------

TEST_F(BudgetTest, ACallMayHaveAReserveOfItsOwn) {
  Options options;
  options.client.reserve = {absl::Seconds(2), 0, absl::Seconds(2)};
  options.server.report.when = When::kAlways;
  options.handlers[kStorefront] = [](const Context& ctx, const CallNext& next,
                                     grpc::ServerContextBase&) {
    CallOptions whole;
    whole.reserve = Reserve::None();
    next(ctx, whole);
    return next(ctx, {});
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  ASSERT_EQ(result.report.report().calls_size(), 2);
  const auto kept = [](const v1::CallReport& call) {
    return call.time_left_us() - call.report().time_left_us();
  };
  // What passed between the two readings is in it.
  EXPECT_GE(kept(result.report.report().calls(0)), 0);
  EXPECT_LT(kept(result.report.report().calls(0)), 1'900'000);
  EXPECT_GE(kept(result.report.report().calls(1)), 2'000'000);
}

TEST_F(BudgetTest, ADetachedCallHasNeitherDeadlineNorCancellation) {
  absl::Notification in_leaf, left, over;
  absl::Duration remaining;
  bool done = true;
  Options options;
  options.handlers[kOrders] = [&](const Context& ctx, const CallNext& next,
                                  grpc::ServerContextBase&) {
    const grpc::Status status = next(ctx, CallOptions::Detached());
    EXPECT_TRUE(status.ok()) << status.error_message();
    over.Notify();
    return status;
  };
  options.handlers[kInventory] = [&](const Context& ctx, const CallNext&,
                                     grpc::ServerContextBase&) {
    in_leaf.Notify();
    left.WaitForNotification();
    remaining = ctx.Remaining();
    done = ctx.WaitFor(absl::Milliseconds(50));
    return grpc::Status::OK;
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  std::thread leaver([&, &leave = cancel] {
    in_leaf.WaitForNotification();
    leave();
  });
  EXPECT_EQ(chain.Call(ctx).status.error_code(), grpc::StatusCode::CANCELLED);
  leaver.join();
  left.Notify();
  EXPECT_TRUE(over.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(remaining, absl::InfiniteDuration());
  EXPECT_FALSE(done);
}

// ---- Several calls ----------------------------------------------------------

constexpr char kThreeAttempts[] =
    R"({"methodConfig": [{"name": [{"service": "shop.v1.Inventory"}],
        "retryPolicy": {"maxAttempts": 3, "backoffMultiplier": 1,
        "initialBackoff": "0.02s", "maxBackoff": "0.02s",
        "retryableStatusCodes": ["UNAVAILABLE"]}}]})";

// Answers UNAVAILABLE to two of three requests.
BudgetChain::Handler TwoOfThreeFail(std::atomic<int>& requests) {
  return
      [&requests](const Context&, const CallNext&, grpc::ServerContextBase&) {
        return ++requests % 3 == 0
                   ? grpc::Status::OK
                   : grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet");
      };
}

TEST_F(BudgetTest, RetriesOfGrpcAreOneCall) {
  std::atomic<int> requests{0};
  Options options;
  options.service_config = kThreeAttempts;
  options.server.report.when = When::kAlways;
  options.handlers[kInventory] = TwoOfThreeFail(requests);
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(requests, 3);
  const v1::BudgetReport& orders = CallTo(kOrders, result.report)->report();
  ASSERT_EQ(orders.calls_size(), 1);
  EXPECT_EQ(orders.calls(0).report().previous_attempts(), 2);
  EXPECT_THAT(Explain(result.report), HasSubstr("gRPC attempt 3"));
}

TEST_F(BudgetTest, RetriesOfTheCodeAreCallsInARow) {
  std::atomic<int> requests{0};
  Options options;
  options.server.report.when = When::kAlways;
  options.handlers[kInventory] = TwoOfThreeFail(requests);
  options.handlers[kOrders] = [](const Context& ctx, const CallNext& next,
                                 grpc::ServerContextBase&) {
    grpc::Status status = next(ctx, {});
    while (!status.ok()) status = next(ctx, {});
    return status;
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(CallTo(kOrders, result.report)->report().calls_size(), 3);
  const std::string text = Explain(result.report);
  EXPECT_THAT(text, HasSubstr("attempt 1 of 3"));
  EXPECT_THAT(text, HasSubstr("attempt 3 of 3"));
  EXPECT_THAT(text, Not(HasSubstr("parallel")));
}

TEST_F(BudgetTest, FanOutIsParallel) {
  absl::Mutex mutex;
  int in_leaf = 0;
  Options options;
  options.server.report.when = When::kAlways;
  options.handlers[kInventory] = [&](const Context&, const CallNext&,
                                     grpc::ServerContextBase&) {
    // Until the others are here, too.
    absl::MutexLock lock(&mutex);
    ++in_leaf;
    const auto all = [&in_leaf] { return in_leaf == 3; };
    mutex.AwaitWithTimeout(absl::Condition(&all), kGiveUp);
    return grpc::Status::OK;
  };
  options.handlers[kOrders] = [](const Context& ctx, const CallNext& next,
                                 grpc::ServerContextBase&) {
    TaskGroup group(ctx);
    for (int i = 0; i < 3; ++i) {
      group.Go([&](const Context& task_ctx) {
        return FromGrpcStatus(next(task_ctx, {}));
      });
    }
    return ToGrpcStatus(group.Wait());
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(CallTo(kOrders, result.report)->report().calls_size(), 3);
  const std::string text = Explain(result.report);
  EXPECT_THAT(text, HasSubstr("parallel"));
  EXPECT_THAT(text, Not(HasSubstr("attempt")));
}

TEST_F(BudgetTest, ErrorsAreTold) {
  Options options;
  options.handlers[kInventory] = [](const Context&, const CallNext&,
                                    grpc::ServerContextBase&) -> grpc::Status {
    throw std::runtime_error("a bug");
  };
  BudgetChain chain(std::move(options));
  ASSERT_TRUE(chain.Connect(kGiveUp));
  const Result result = chain.Call(kGiveUp);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNKNOWN);
  const v1::CallReport* call = CallTo(kInventory, result.report);
  ASSERT_NE(call, nullptr);
  ASSERT_TRUE(call->has_report());
  EXPECT_EQ(call->report().outcome(), 2);
  EXPECT_EQ(call->report().reason(), v1::END_REASON_COMPLETED);
}

}  // namespace
}  // namespace tether

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
