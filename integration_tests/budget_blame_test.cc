// SPDX-License-Identifier: Apache-2.0
//
// Finds the hop that used the time up. There are three hops, storefront →
// orders → inventory. One hop, or the link to it, is slow or hangs, and the
// client's message and its report must name that hop.
//
// Time is real, because gRPC's is. Each case runs --runs times, and at least 99
// of 100 runs must name the right hop. If the machine hangs for longer than a
// hop's reserve (Reserve), that hop's caller gives up first, and knows only
// that hop. An answer takes less than a millisecond on an idle machine, where
// the default reserve is enough (--reserve=0). The tests share two cores with
// other tests and compilers, which may stop them for 50 ms, so each hop keeps a
// reserve of 150 ms. Runs overlap: a new one starts every kEvery, so that they
// don't all end at the same moment. A stall of the whole machine that is longer
// than a reserve spoils a tenth of the runs and more; Lateness sees it, and the
// case runs again.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/budget_chain.h"
#include "testing/lateness.h"
#include "tether/budget/explain.h"
#include "tether/context.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/give_up.h"
#include "tether/v1/budget_report.pb.h"

ABSL_FLAG(int, runs, 100, "How often each case is run.");
ABSL_FLAG(absl::Duration, timeout, absl::Milliseconds(1800),
          "The deadline of each run.");
ABSL_FLAG(absl::Duration, reserve, absl::Milliseconds(150),
          "The reserve of each hop; 0: the default.");

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

// Several threads work on an answer, one after another. A machine that keeps
// one of them waiting for so long may use up a hop's reserve.
constexpr absl::Duration kStall = absl::Milliseconds(30);
constexpr int kAttempts = 3;

using Options = BudgetChain::Options;
using Result = BudgetChain::Result;
using CallNext = BudgetChain::CallNext;
using When = ReportOptions::When;

// The hop that the message names first: "inventory.GetStock 1.7s (did not
// answer)".
std::string Culprit(const std::string& message) {
  constexpr char kBefore[] = ", of which ";
  const size_t at = message.find(kBefore);
  if (at == std::string::npos) return "";
  const size_t begin = at + sizeof kBefore - 1;
  return message.substr(begin, message.find(", ", begin) - begin);
}

class BudgetBlameTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Waits for the end of its context, which comes when the hop's time is up.
  static grpc::Status UntilTheEnd(const Context& ctx, const CallNext&,
                                  grpc::ServerContextBase&) {
    ctx.Wait();
    return StatusOf(ctx);
  }

  // Never checks its context.
  BudgetChain::Handler Stuck() {
    return [this](const Context&, const CallNext&, grpc::ServerContextBase&) {
      release_->WaitForNotification();
      return grpc::Status::OK;
    };
  }

  // The number of runs that satisfy `is_right`.
  int CountRight(BudgetChain& chain,
                 const std::function<bool(const Result&)>& is_right) {
    const int runs = absl::GetFlag(FLAGS_runs);
    release_ = std::make_unique<absl::Notification>();
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
    release_->Notify();
    std::printf("%d of %d: %s\n", right, runs, example.c_str());
    for (size_t i = 0; i < wrong.size() && i < 3; ++i) {
      std::printf("not: %s\n", wrong[i].c_str());
    }
    return right;
  }

  // At least 99 of 100 runs name `culprit` first. Their reports show the call
  // to `hop` as answered or not. Where the machine stood still meanwhile, they
  // run again.
  void ExpectBlame(Options options, const std::string& culprit, int hop,
                   bool answered, int stalled_link = -1) {
    if (const absl::Duration reserve = absl::GetFlag(FLAGS_reserve);
        reserve > absl::ZeroDuration()) {
      options.client.reserve = {reserve, 0, reserve};
    }
    const auto is_right = [&](const Result& result) {
      const v1::CallReport* call = CallTo(hop, result.report);
      return result.status.error_code() ==
                 grpc::StatusCode::DEADLINE_EXCEEDED &&
             absl::StartsWith(Culprit(result.status.error_message()),
                              absl::StrCat(culprit, " ")) &&
             call != nullptr && call->answered() == answered;
    };
    for (int attempt = 1;; ++attempt) {
      const testing::Lateness lateness;
      BudgetChain chain(options);
      EXPECT_TRUE(chain.Connect(kGiveUp));
      if (stalled_link >= 0) chain.StallLink(stalled_link);
      const int right = CountRight(chain, is_right);
      if (right * 100 >= 99 * absl::GetFlag(FLAGS_runs)) return;
      std::cout << "a thread alone was late by " << lateness.worst()
                << std::endl;
      if (lateness.worst() > kStall && attempt < kAttempts) continue;
      FAIL() << right << " of " << absl::GetFlag(FLAGS_runs);
    }
  }

  std::unique_ptr<absl::Notification> release_;
};

// ---- A slow hop -------------------------------------------------------------

class EachHopTest : public BudgetBlameTest,
                    public ::testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(Hops, EachHopTest,
                         ::testing::Values(kStorefront, kOrders, kInventory),
                         [](const auto& param_info) {
                           return param_info.param == kStorefront ? "Front"
                                  : param_info.param == kOrders   ? "Middle"
                                                                  : "Leaf";
                         });

// The hop observes its context, and reports in time that it was too slow.
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

// A hop that does nothing can't be told from a network that does nothing. The
// hop behind the link is named, as one that did not answer.
TEST_P(EachHopTest, AStalledLinkIsNamedByTheHopBehindIt) {
  ExpectBlame(Options(), kNames[GetParam()], GetParam(), /*answered=*/false,
              /*stalled_link=*/GetParam());
}

// The control: without reserve and reports, the client knows only the hop that
// it called itself.
TEST_F(BudgetBlameTest, ControlWithoutReserveAndReportsTheLeafIsNotNamed) {
  Options options;
  options.handlers[kInventory] = UntilTheEnd;
  options.client.reserve = Reserve::None();
  options.server.report.when = When::kNever;
  BudgetChain chain(std::move(options));
  const auto names_leaf = [](const Result& result) {
    return absl::StrContains(result.status.error_message(), "inventory");
  };
  EXPECT_LT(CountRight(chain, names_leaf), absl::GetFlag(FLAGS_runs) / 2);
}

// ---- A slow network ---------------------------------------------------------

// Calls the next hop until the time left is too short for it.
grpc::Status Again(const Context& ctx, const CallNext& next,
                   grpc::ServerContextBase&) {
  for (;;) {
    const grpc::Status status = next(ctx, {});
    if (!status.ok()) return status;
  }
}

class SlowLinkTest : public BudgetBlameTest,
                     public ::testing::WithParamInterface<int> {
 protected:
  // The caller makes one call after another over the link. Each takes 0.4 s for
  // almost no work.
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

// The slow link leads to the client's own first hop. That hop ends at its
// deadline, and its answer comes too late. The client knows only that none
// came.
TEST_F(BudgetBlameTest, ASlowLinkFromTheClientIsNamedByTheHopBehindIt) {
  Options options;
  options.handlers[kInventory] = UntilTheEnd;
  options.link_delays[kStorefront] = absl::GetFlag(FLAGS_timeout) / 3;
  ExpectBlame(std::move(options), kNames[kStorefront], kStorefront,
              /*answered=*/false);
}

}  // namespace
}  // namespace tether

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
