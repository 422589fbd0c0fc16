// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/tree.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "observability/tetherctl/clean.h"
#include "observability/tetherctl/testing/sample.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

using testing::kTrace;
using testing::Parse;
using testing::Sample;

std::string Format(const Snapshots& snapshots, int width = 80) {
  return FormatTree(snapshots, BuildTree(snapshots, kTrace), width);
}

// "process method" of each node, indented.
std::string Shape(const Snapshots& snapshots) {
  std::string text;
  for (const TreeNode& node : BuildTree(snapshots, kTrace).nodes) {
    const std::string method =
        node.request != nullptr ? node.request->method() : node.call->method();
    const char* kinds[] = {"", "own ", "not asked ", "not there ",
                           "no answer "};
    absl::StrAppend(&text, std::string(2 * node.depth, ' '),
                    kinds[static_cast<int>(node.kind)],
                    snapshots.processes(node.process).address(), " ", method,
                    "\n");
  }
  return text;
}

TEST(TreeTest, PutsARequestTogetherAcrossProcesses) {
  EXPECT_EQ(
      Format(Sample()),
      R"(PROCESS                     METHOD                     AGE   LEFT STATE
storefront@10.0.0.1:9090    Storefront/GetOrderPage  260ms  740ms waiting
  orders@10.0.0.2:9090      Orders/GetOrder          258ms  700ms waiting
    inventory@10.0.0.3:9090 Inventory/GetStock       256ms   45ms running
)");
}

TEST(TreeTest, ACallThatNoGivenHostServesIsALeaf) {
  Snapshots snapshots = Sample();
  snapshots.mutable_processes()->DeleteSubrange(2, 2);
  EXPECT_EQ(
      Format(snapshots),
      R"(PROCESS                  METHOD                     AGE   LEFT STATE
storefront@10.0.0.1:9090 Storefront/GetOrderPage  260ms  740ms waiting
  orders@10.0.0.2:9090   Orders/GetOrder          258ms  700ms waiting
    -> inventory:9090    Inventory/GetStock       257ms   50ms not asked
not asked: none of the given hosts has this address
)");
}

TEST(TreeTest, ACallWhoseHostHasNoSuchRequestOrDoesNotAnswerSaysSo) {
  const auto snapshots = Parse<Snapshots>(absl::StrCat(R"(
      processes { address: "a:1" snapshot { process: "a" requests {
        method: "/M" trace_id: ")",
                                                       kTrace, R"("
        waits_for { method: "/N" target: "dns:///b:1" }
        waits_for { method: "/N" target: "c:1" } } } }
      processes { address: "b:1" snapshot { process: "b" } }
      processes { address: "c:1" error: "x" })"));
  EXPECT_EQ(Shape(snapshots),
            "a:1 /M\n"
            "  not there a:1 /N\n"
            "  no answer a:1 /N\n");
}

// A request of `method` with the trace and calls in text format.
std::string Request(const std::string& method, int64_t age_us,
                    const std::string& calls = "") {
  return absl::StrCat("requests { method: \"", method, "\" trace_id: \"",
                      kTrace, "\" age_us: ", age_us, " ", calls, " }");
}
std::string Call(const std::string& method, int64_t age_us,
                 const std::string& target = "dns:///lb") {
  return absl::StrCat("waits_for { method: \"", method, "\" target: \"", target,
                      "\" age_us: ", age_us, " }");
}
std::string Process(const std::string& address, const std::string& snapshot) {
  return absl::StrCat("processes { address: \"", address, "\" snapshot { ",
                      snapshot, " } }");
}

TEST(TreeTest, FanOutIsMatchedByAddress) {
  const auto snapshots = Parse<Snapshots>(absl::StrCat(
      Process("front:1", Request("/F", 1000,
                                 absl::StrCat(Call("/Leaf", 900, "b:1"),
                                              Call("/Leaf", 890, "a:1")))),
      // By age alone, each would get the other's call.
      Process("a:1", Request("/Leaf", 889)),
      Process("b:1", Request("/Leaf", 885))));
  EXPECT_EQ(Shape(snapshots),
            "front:1 /F\n"
            "  b:1 /Leaf\n"
            "  a:1 /Leaf\n");
}

TEST(TreeTest, BehindALoadBalancerAgesDecide) {
  const auto snapshots = Parse<Snapshots>(absl::StrCat(
      Process("front:1", Request("/F", 9'000'000,
                                 absl::StrCat(Call("/Leaf", 1'000'000),
                                              Call("/Leaf", 8'000'000)))),
      Process("a:1", Request("/Leaf", 7'990'000)),
      Process("b:1", Request("/Leaf", 990'000))));
  EXPECT_EQ(Shape(snapshots),
            "front:1 /F\n"
            "  b:1 /Leaf\n"
            "  a:1 /Leaf\n");
}

TEST(TreeTest, ARetryLeavesTheLateAttemptWithoutCaller) {
  // The second attempt is the one that the call waits for.
  const auto snapshots = Parse<Snapshots>(absl::StrCat(
      Process("front:1", Request("/F", 9'000'000, Call("/Leaf", 2'000'000))),
      Process("a:1", absl::StrCat(Request("/Leaf", 8'000'000),
                                  Request("/Leaf", 1'900'000)))));
  EXPECT_EQ(Shape(snapshots),
            "front:1 /F\n"
            "  a:1 /Leaf\n"
            "a:1 /Leaf\n");
}

TEST(TreeTest, TheOlderRequestGetsTheCall) {
  // The younger one belongs to a process that isn't given.
  const auto snapshots = Parse<Snapshots>(absl::StrCat(
      Process("b:1", Request("/Leaf", 4'000'000)),
      Process("front:1", Request("/F", 11'000'000, Call("/Leaf", 10'000'000))),
      Process("a:1", Request("/Leaf", 9'900'000))));
  EXPECT_EQ(Shape(snapshots),
            "b:1 /Leaf\n"
            "front:1 /F\n"
            "  a:1 /Leaf\n");
}

TEST(TreeTest, ACallThatSeemsALittleYoungerThanItsRequestHasToDo) {
  const auto with_age = [](int64_t age_us) {
    return Shape(Parse<Snapshots>(absl::StrCat(
        Process("front:1", Request("/F", 9'000'000, Call("/Leaf", 1'000'000))),
        Process("a:1", Request("/Leaf", age_us)))));
  };
  EXPECT_EQ(with_age(1'100'000), "front:1 /F\n  a:1 /Leaf\n");
  EXPECT_EQ(with_age(2'000'000),
            "front:1 /F\n  not asked front:1 /Leaf\na:1 /Leaf\n");
}

TEST(TreeTest, AClientsOwnCallIsARoot) {
  const auto snapshots = Parse<Snapshots>(absl::StrCat(
      Process("client:1",
              absl::StrCat("process: \"load\" other_calls { method: \"/F\" "
                           "target: \"front:1\" age_us: 10 trace_id: \"",
                           kTrace, "\" }")),
      Process("front:1", Request("/F", 9))));
  EXPECT_EQ(Shape(snapshots), "own client:1 /F\n  front:1 /F\n");
  Snapshots alone = snapshots;
  alone.mutable_processes()->RemoveLast();
  EXPECT_EQ(Shape(alone), "own client:1 /F\n  not asked client:1 /F\n");
}

TEST(TreeTest, OtherTracesAreLeftOut) {
  EXPECT_TRUE(BuildTree(Sample(), "00000000000000000000000000000001").empty());
  EXPECT_EQ(
      BuildTree(Sample(), "00000000000000000000000000000005").nodes.size(), 1u);
}

TEST(TreeTest, CyclesEnd) {
  // Each waits for the other, and a third one for itself.
  const auto snapshots = Parse<Snapshots>(
      absl::StrCat(Process("a:1", Request("/A", 10, Call("/B", 10, "b:1"))),
                   Process("b:1", Request("/B", 10, Call("/A", 10, "a:1"))),
                   Process("c:1", Request("/C", 10, Call("/C", 10, "c:1")))));
  EXPECT_EQ(Shape(snapshots),
            "b:1 /B\n"
            "  a:1 /A\n"
            "    not there a:1 /B\n"
            "c:1 /C\n"
            "  not there c:1 /C\n");
}

TEST(TreeTest, AServiceThatCallsItselfIsAChain) {
  const auto snapshots = Parse<Snapshots>(
      Process("a:1", absl::StrCat(Request("/A", 30, Call("/A", 20, "a:1")),
                                  Request("/A", 19, Call("/A", 10, "a:1")),
                                  Request("/A", 9))));
  EXPECT_EQ(Shape(snapshots), "a:1 /A\n  a:1 /A\n    a:1 /A\n");
}

TEST(TreeTest, ChainsWithoutEndAreCut) {
  std::string requests;
  for (int i = 0; i < 300; ++i) {
    absl::StrAppend(&requests, Request("/A", 10'000 - 10 * i,
                                       Call("/A", 10'000 - 10 * i - 1, "a:1")));
  }
  const auto snapshots = Parse<Snapshots>(Process("a:1", requests));
  const Tree tree = BuildTree(snapshots, kTrace);
  EXPECT_EQ(tree.nodes.size(), static_cast<size_t>(kMaxTreeDepth) + 1);
  EXPECT_TRUE(tree.is_cut);
  const std::string text = FormatTree(snapshots, tree, 80);
  EXPECT_NE(text.find("There is more"), std::string::npos);
}

TEST(TreeTest, ATreeWithoutCallsThatARequestWaitsForIsCut) {
  Snapshots snapshots = Sample();
  EXPECT_FALSE(BuildTree(snapshots, kTrace).is_cut);
  v1::InFlightRequest& request =
      *snapshots.mutable_processes(0)->mutable_snapshot()->mutable_requests(0);
  request.set_waits_for_total(1);
  EXPECT_FALSE(BuildTree(snapshots, kTrace).is_cut);
  request.set_waits_for_total(2);
  EXPECT_TRUE(BuildTree(snapshots, kTrace).is_cut);
  // That of another trace isn't.
  request.set_trace_id("00000000000000000000000000000007");
  EXPECT_FALSE(BuildTree(snapshots, kTrace).is_cut);
}

TEST(TreeTest, TheListsOfAHostileServerAreCut) {
  Snapshots snapshots;
  ProcessSnapshot& process = *snapshots.add_processes();
  process.set_address("a:1");
  for (int i = 0; i < 5000; ++i) {
    v1::InFlightRequest& request = *process.mutable_snapshot()->add_requests();
    request.set_method("/A");
    request.set_trace_id(kTrace);
    request.set_age_us(kMaxNumber);
    for (int j = 0; j < 20; ++j) {
      v1::InFlightCall& call = *request.add_waits_for();
      call.set_method("/A");
      call.set_target("a:1");
      call.set_age_us(-kMaxNumber);
      if (j % 2 == 0) call.set_age_us(kMaxNumber);
    }
  }
  const Tree tree = BuildTree(snapshots, kTrace);
  EXPECT_TRUE(tree.is_cut);
  EXPECT_LE(tree.nodes.size(), kMaxTreeRequests + kMaxTreeCalls);
  EXPECT_FALSE(FormatTree(snapshots, tree, 80).empty());
}

}  // namespace
}  // namespace tether::ctl
