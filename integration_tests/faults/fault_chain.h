// SPDX-License-Identifier: Apache-2.0
//
// The fixture of faults_test: a chain edge → relay → leaf. The edge is the
// test's process, the others are processes of their own. Each is in a network
// namespace of its own, with a Link between neighbours.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_FAULT_CHAIN_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_FAULT_CHAIN_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "integration_tests/faults/hop_process.h"
#include "integration_tests/faults/link.h"
#include "integration_tests/faults/load.h"
#include "integration_tests/faults/net_namespace.h"
#include "testing/lateness.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"

namespace tether::faults {

inline constexpr char kRelayAddress[] = "10.77.1.2";

// The machinery, which all tests of the process share.
struct Machinery {
  // An error if this machine has no namespaces for the process. The process
  // must have one thread.
  static absl::Status Start(uint32_t seed);

  NetNamespace edge_net;
  NetNamespace relay_net;
  NetNamespace leaf_net;
  std::unique_ptr<Link> near_link = nullptr;  // kA: the edge; kB: the relay
  std::unique_ptr<Link> far_link = nullptr;   // kA: the relay; kB: the leaf
  std::unique_ptr<HopProcess> relay = nullptr;
  std::unique_ptr<HopProcess> leaf = nullptr;
  uint32_t seed = 0;
};
// Null before Start, and where that failed: then `no_machinery` says why.
extern Machinery* machinery;
extern absl::Status no_machinery;

class FaultChainTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Skips the test if there is no machinery.
  void SetUp() override;
  // Everything has healed, and nothing is left.
  void TearDown() override;

  HopProcess& relay() { return *machinery->relay; }
  HopProcess& leaf() { return *machinery->leaf; }
  Link& near_link() { return *machinery->near_link; }
  Link& far_link() { return *machinery->far_link; }

  // A channel of the edge with tether and the settings that heal quickly.
  static std::shared_ptr<grpc::Channel> ChannelTo(
      const std::string& target,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials =
          grpc::InsecureChannelCredentials());

  struct Fault {
    std::function<void()> begin;
    std::function<void()> heal;
    // Begins before the first call, rather than while calls are at the leaf.
    bool first = false;
    Load::Mix mix = {};
    // Codes besides OK, DEADLINE_EXCEEDED and UNAVAILABLE.
    std::vector<grpc::StatusCode> codes = {};
    // A hop that is frozen ends its work late, and one that is killed has no
    // record of it.
    bool relay_works = true;
    bool leaf_works = true;
    // How long a handler may outlive its deadline, besides the slack that all
    // calls have.
    absl::Duration handlers_late = absl::ZeroDuration();
    // Instead of those to the relay's sync and callback servers.
    std::vector<std::shared_ptr<grpc::Channel>> channels = {};
  };

  // Calls through the chain, and begins the fault in the middle of them. All
  // calls end by their deadlines. When all have ended, the fault heals.
  std::vector<CallRecord> RunThrough(const Fault& fault);

  // How late a call may end on a machine that is so late itself. Infinite if it
  // is too busy to tell; only the machine decides that, not the calls.
  static absl::Duration Slack(const testing::Lateness& lateness);

  // The number of those that began in the fault, that should be answered at
  // once, and that were.
  static int Answered(const std::vector<CallRecord>& calls);
  // The number that began in the fault and should be answered at once.
  static int Asked(const std::vector<CallRecord>& calls);

  // Expects that calls on `channel` succeed: the next one, and if hops on its
  // way wait before they connect again (UNAVAILABLE), the next one after that.
  static void ExpectAnswers(const std::string& when,
                            const std::shared_ptr<grpc::Channel>& channel);

  // Starts a hop that has been killed, and warms it up.
  void Start(HopProcess& hop);

 private:
  struct Baseline {
    int threads = 0;
    int fds = 0;
    int starts = 0;  // of a hop's process
  };
  static Baseline BaselineOf(const HopProcess& hop);

  void ExpectOutcomes(const Fault& fault, const std::vector<CallRecord>& calls,
                      absl::Duration slack);
  void ExpectWorkToEnd(HopProcess& hop, absl::Duration slack);
  void ExpectNothingLeft(HopProcess& hop, Baseline before);

  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  Baseline relay_before_, leaf_before_, edge_before_;
};

// The main function of a test: moves the process to a namespace, starts the
// hops, and runs the tests.
int RunFaultTests(int argc, char** argv);

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_FAULT_CHAIN_H_
