// SPDX-License-Identifier: Apache-2.0
//
// Faults of networks and hops, one at a time, under calls of all kinds through
// edge → relay → leaf, each a process in a network namespace of its own. Every
// call ends by its deadline with one outcome, the work at the hops that can be
// reached ends, nothing is left in any hop, and after the fault calls succeed.
//
// It needs root. The links' and calls' random choices come from --seed, which
// is printed.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/time/time.h"
#include "integration_tests/faults/fault_chain.h"
#include "integration_tests/faults/link.h"
#include "integration_tests/faults/load.h"

namespace tether::faults {
namespace {

class FaultsTest : public FaultChainTest {
 protected:
  // One that is over when the rules are reset.
  Fault FaultOf(Link& link, const LinkRules& rules) {
    Fault fault;
    fault.begin = [&link, rules] { link.SetBoth(rules); };
    fault.heal = [&link] { link.SetBoth(LinkRules()); };
    return fault;
  }
};

TEST_F(FaultsTest, ControlWithoutAFaultAllAreAnswered) {
  Fault none;
  none.begin = [] {};
  none.heal = [] {};
  const auto calls = RunThrough(none);
  EXPECT_EQ(Answered(calls), Asked(calls));
  EXPECT_GT(Asked(calls), 0);
}

TEST_F(FaultsTest, LatencyWithJitter) {
  LinkRules rules;
  rules.delay = absl::Milliseconds(1);
  rules.jitter = absl::Milliseconds(79);
  RunThrough(FaultOf(near_link(), rules));
}

TEST_F(FaultsTest, ALinkThatDropsEverything) {
  LinkRules rules;
  rules.drop_all = true;
  const auto calls = RunThrough(FaultOf(near_link(), rules));
  EXPECT_EQ(Answered(calls), 0);
}

}  // namespace
}  // namespace tether::faults

int main(int argc, char** argv) {
  return tether::faults::RunFaultTests(argc, argv);
}
