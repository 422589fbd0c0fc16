// Which hop used the time up? Three hops, storefront → orders → inventory; one
// of them, or the link to it, is slow or stands still; and the client's message
// and its report must name that one.
//
// Times are real, since gRPC's are. Each case is run kRuns times, and at least
// 99 of 100 must name the right one: a machine that stands still for longer
// than a hop keeps back (Reserve) makes that hop's caller give up first, and
// then the caller knows of nobody but the hop. kTimeout is as short as the
// default reserve allows at its cap, 50 ms at each of the three hops: some
// hundred times what an answer takes on an idle machine. Runs overlap, a new
// one every kEvery, so that they don't all end at one moment.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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
#include "tether/grpc/testing/probe_server.h"
#include "tether/task_group.h"
#include "tether/v1/budget_report.pb.h"

ABSL_FLAG(int, runs, 100, "How often each case is run.");

namespace tether {
namespace {

using ::testing::HasSubstr;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;
using ::testing::StartsWith;

constexpr int kStorefront = BudgetChain::kStorefront;
constexpr int kOrders = BudgetChain::kOrders;
constexpr int kInventory = BudgetChain::kInventory;
constexpr int kHops = BudgetChain::kHops;
constexpr const char* kNames[] = {"storefront.GetOrderPage", "orders.GetOrder",
                                  "inventory.GetStock"};

constexpr absl::Duration kTimeout = absl::Milliseconds(1800);
constexpr absl::Duration kEvery = absl::Milliseconds(12);
// For what comes at once, on a machine that has much else to do.
constexpr absl::Duration kPrompt = absl::Seconds(2);
constexpr absl::Duration kNever = absl::Seconds(20);

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
    EXPECT_TRUE(chain.Connect(kNever));
    std::atomic<int> right{0};
    absl::Mutex mutex;
    std::vector<std::string> wrong;
    std::vector<std::thread> clients;
    const absl::Time start = absl::Now();
    for (int i = 0; i < runs; ++i) {
      absl::SleepFor(start + i * kEvery - absl::Now());
      clients.emplace_back([&] {
        const Result result = chain.Call(kTimeout);
        if (is_right(result)) {
          ++right;
          return;
        }
        absl::MutexLock lock(&mutex);
        wrong.push_back(absl::StrCat(
            result.status.error_code(), " ", result.status.error_message(),
            "\n", wrong.size() < 3 ? Explain(result.report) : ""));
      });
    }
    for (std::thread& client : clients) client.join();
    release_.Notify();
    std::printf("%d of %d\n", right.load(), runs);
    for (const std::string& message : wrong) {
      std::printf("  not: %s\n", message.c_str());
    }
    return right;
  }

  // At least 99 of 100 name `culprit` first and, in the report, the call to
  // `hop` as one that was answered or not.
  void ExpectBlame(Options options, const std::string& culprit, int hop,
                   bool answered, int stalled_link = -1) {
    BudgetChain chain(std::move(options));
    EXPECT_TRUE(chain.Connect(kNever));
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
  EXPECT_EQ(CountRight(chain, names_leaf), 0);
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

}  // namespace
}  // namespace tether

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
