// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/propagation_health.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/time/time.h"

namespace tether {
namespace {

using v1::Finding;

// A process that has served `/shop.v1.Orders/GetOrder` well.
class PropagationHealthTest : public ::testing::Test {
 protected:
  PropagationHealthTest() {
    metrics_.counted_for = absl::Minutes(1);
    orders().total = 100;
    metrics_.clients["/shop.v1.Inventory/GetStock"].total = 100;
  }

  ServerMetrics& orders() { return metrics_.servers[kOrders]; }
  v1::PropagationHealth Examine() const {
    return PropagationHealthOf(metrics_, in_flight_);
  }
  // The only finding.
  Finding Only() const {
    const v1::PropagationHealth health = Examine();
    EXPECT_EQ(health.findings_size(), 1) << health.DebugString();
    return health.findings_size() == 1 ? health.findings(0) : Finding();
  }

  static constexpr char kOrders[] = "/shop.v1.Orders/GetOrder";
  Metrics metrics_;
  InFlight in_flight_;
};

TEST_F(PropagationHealthTest, NothingIsFoundWhereNothingIsWrong) {
  const v1::PropagationHealth health = Examine();
  EXPECT_EQ(health.findings_size(), 0) << health.DebugString();
  EXPECT_EQ(health.process(), "propagation_health_test");
  EXPECT_EQ(health.counted_us(), 60'000'000);
  ASSERT_EQ(health.methods_size(), 2);
  EXPECT_EQ(health.methods(0).method(), "/shop.v1.Inventory/GetStock");
  EXPECT_EQ(health.methods(0).calls(), 100);
  EXPECT_EQ(health.methods(1).method(), kOrders);
  EXPECT_EQ(health.methods(1).requests(), 100);
}

TEST_F(PropagationHealthTest, AProcessThatDoesNotCountSaysSo) {
  metrics_ = Metrics();
  EXPECT_EQ(Examine().counted_us(), 0);
  EXPECT_EQ(GetPropagationHealth().counted_us(), 0);
}

TEST_F(PropagationHealthTest, FindsCallsWithoutTheirContext) {
  orders().calls_without_context["/shop.v1.Audit/Write"] = 3;
  const Finding finding = Only();
  EXPECT_EQ(finding.kind(), Finding::KIND_CONTEXT_NOT_HANDED_ON);
  EXPECT_EQ(finding.severity(), Finding::SEVERITY_WARNING);
  EXPECT_EQ(finding.method(), kOrders);
  EXPECT_EQ(finding.callee(), "/shop.v1.Audit/Write");
  EXPECT_EQ(finding.count(), 3);
  EXPECT_EQ(finding.total(), 100);
  EXPECT_EQ(finding.what(),
            "/shop.v1.Orders/GetOrder made 3 calls of /shop.v1.Audit/Write "
            "without the context of its request: they have no deadline of it, "
            "and go on when the caller leaves.");
  EXPECT_NE(finding.fix().find("ContextOf"), std::string::npos);
  EXPECT_EQ(Examine().methods(1).calls_without_context(), 3);
}

TEST_F(PropagationHealthTest, FindsHandlersThatAreDeafNow) {
  InFlightRequest request;
  request.method = kOrders;
  request.trace_id = "0af7651916cd43dd8448eb211c80319c";
  request.ended_by = EndReason::kCallerLeft;
  request.ended_ago = absl::Milliseconds(1500);
  in_flight_.requests.push_back(request);
  const Finding finding = Only();
  EXPECT_EQ(finding.kind(), Finding::KIND_DEAF_HANDLER);
  EXPECT_EQ(finding.count(), 1);
  EXPECT_EQ(finding.total(), 101);
  EXPECT_EQ(finding.longest_us(), 1'500'000);
  ASSERT_EQ(finding.trace_ids_size(), 1);
  EXPECT_EQ(finding.trace_ids(0), request.trace_id);
  EXPECT_EQ(finding.what(),
            "/shop.v1.Orders/GetOrder worked on after the end of 1 request, "
            "for up to 1.5s and still does.");
  EXPECT_EQ(Examine().methods(1).deaf(), 1);
}

TEST_F(PropagationHealthTest, ARequestThatEndsAtOnceOrHasAnsweredIsNotDeaf) {
  InFlightRequest request;
  request.method = kOrders;
  request.ended_by = EndReason::kCallerLeft;
  request.ended_ago = absl::Milliseconds(250);
  in_flight_.requests.push_back(request);
  request.ended_ago.reset();
  in_flight_.requests.push_back(request);
  request.ended_by = EndReason::kCompleted;
  request.ended_ago = absl::Hours(1);
  in_flight_.requests.push_back(request);
  request.ended_by = EndReason::kNone;
  in_flight_.requests.push_back(request);
  EXPECT_EQ(Examine().findings_size(), 0);
}

TEST_F(PropagationHealthTest, FindsADeafHandlerWhoseFirstRequestStillRuns) {
  InFlightRequest request;
  request.method = "/a.B/C";
  request.ended_by = EndReason::kInheritedDeadline;
  request.ended_ago = absl::Seconds(9);
  in_flight_.requests.push_back(request);
  EXPECT_EQ(Only().method(), "/a.B/C");
  EXPECT_EQ(Only().total(), 1);
}

TEST_F(PropagationHealthTest, ListsAtMostEightTracesTheLiveOnesFirst) {
  InFlightRequest request;
  request.method = kOrders;
  request.ended_by = EndReason::kCallerLeft;
  request.ended_ago = absl::Seconds(1);
  for (int i = 0; i < 3; ++i) {
    request.trace_id = "live" + std::to_string(i);
    in_flight_.requests.push_back(request);
  }
  orders().deaf = 20;
  orders().deaf_longest = absl::Seconds(2);
  for (int i = 0; i < 8; ++i) {
    orders().deaf_last.push_back(
        {i == 0 ? "" : "past" + std::to_string(i), absl::Seconds(2)});
  }
  const Finding finding = Only();
  EXPECT_EQ(finding.count(), 23);
  EXPECT_EQ(finding.longest_us(), 2'000'000);
  ASSERT_EQ(finding.trace_ids_size(), 8);
  EXPECT_EQ(finding.trace_ids(0), "live0");
  EXPECT_EQ(finding.trace_ids(3), "past1");
}

TEST_F(PropagationHealthTest, FindsRequestsWithoutDeadline) {
  orders().without_deadline = 40;
  orders().unlimited = 39;
  Finding finding = Only();
  EXPECT_EQ(finding.kind(), Finding::KIND_NO_DEADLINE);
  EXPECT_EQ(finding.severity(), Finding::SEVERITY_WARNING);
  EXPECT_EQ(finding.what(),
            "40 of 100 requests to /shop.v1.Orders/GetOrder came without a "
            "deadline: nothing ends them if something hangs.");
  // The server limits all of them.
  orders().unlimited = 0;
  EXPECT_EQ(Only().severity(), Finding::SEVERITY_INFO);
}

TEST_F(PropagationHealthTest, FindsEveryOtherKind) {
  orders().without_trace = 1;
  EXPECT_EQ(Only().kind(), Finding::KIND_NO_TRACE);
  orders().without_trace = 0;
  orders().not_observed = 2;
  EXPECT_EQ(Only().kind(), Finding::KIND_CONTEXT_NOT_OBSERVED);
  EXPECT_EQ(Only().severity(), Finding::SEVERITY_WARNING);
  orders().not_observed = 0;
  orders().later_deadlines = 3;
  EXPECT_EQ(Only().kind(), Finding::KIND_LATER_DEADLINE);
  EXPECT_EQ(Only().severity(), Finding::SEVERITY_INFO);
  orders().later_deadlines = 0;
  metrics_.clients["/a.B/C"].background_calls = 1;
  EXPECT_EQ(Only().kind(), Finding::KIND_CALL_WITHOUT_CONTEXT);
  EXPECT_EQ(Only().method(), "/a.B/C");
  metrics_.clients.clear();
  metrics_.process.contexts_not_found = 4;
  EXPECT_EQ(Only().kind(), Finding::KIND_NOT_INSTALLED);
}

TEST_F(PropagationHealthTest, TheMostUrgentComesFirst) {
  orders().without_trace = 100;
  orders().without_deadline = 100;
  orders().unlimited = 100;
  orders().deaf = 1;
  orders().calls_without_context["/a.B/C"] = 1;
  orders().calls_without_context["/a.B/D"] = 7;
  const v1::PropagationHealth health = Examine();
  ASSERT_EQ(health.findings_size(), 5);
  EXPECT_EQ(health.findings(0).callee(), "/a.B/D");
  EXPECT_EQ(health.findings(1).callee(), "/a.B/C");
  EXPECT_EQ(health.findings(2).kind(), Finding::KIND_DEAF_HANDLER);
  EXPECT_EQ(health.findings(3).kind(), Finding::KIND_NO_DEADLINE);
  EXPECT_EQ(health.findings(4).kind(), Finding::KIND_NO_TRACE);
}

TEST_F(PropagationHealthTest, ProbesAndToolsNeedNoDeadline) {
  for (const char* method :
       {"/grpc.health.v1.Health/Check", "/tether.v1.Inspector/List",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}) {
    metrics_.servers[method].total = 1;
    metrics_.servers[method].without_deadline = 1;
    metrics_.servers[method].without_trace = 1;
  }
  EXPECT_EQ(Examine().findings_size(), 0);
}

TEST_F(PropagationHealthTest, HostileNamesAreCleaned) {
  metrics_.servers["/\x1b]0;x\x07/\xff"].without_deadline = 1;
  const Finding finding = Only();
  EXPECT_EQ(finding.method(), "/?]0;x?/?");
  for (const char c : finding.what()) {
    EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << finding.what();
  }
}

}  // namespace
}  // namespace tether
