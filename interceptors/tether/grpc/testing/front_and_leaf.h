// SPDX-License-Identifier: Apache-2.0
//
// The fixture of tests with two servers: a client calls the front, and the
// front calls the leaf.
//
//   class MyTest : public testing::FrontAndLeaf {};
//
//   TEST_F(MyTest, TheLeafsErrorReachesTheClient) {
//     at_leaf_ = [](grpc::ServerContext&) {
//       return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
//     };
//     Start();
//     const auto [status, report] = Call(absl::Seconds(20));
//     EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
//   }
//
// For tests only.

#ifndef TETHER_GRPC_TESTING_FRONT_AND_LEAF_H_
#define TETHER_GRPC_TESTING_FRONT_AND_LEAF_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether::testing {

// Call Start and Stop on the test's thread. The handlers run on gRPC's threads.
class FrontAndLeaf : public GrpcLeakCheckedTest {
 protected:
  using Handler = std::function<grpc::Status(grpc::ServerContext&)>;
  using StreamHandler = std::function<grpc::Status(grpc::ServerContext&,
                                                   grpc::ServerWriter<Pong>*)>;

  // nullopt makes a server or a channel without tether.
  struct Options {
    std::optional<ServerOptions> front = ServerOptions();
    std::optional<ServerOptions> leaf = ServerOptions();
    std::optional<ClientOptions> to_front = ClientOptions();
    std::optional<ClientOptions> to_leaf = ClientOptions();
  };

  // Options with which both servers send budget reports at these times, and
  // both channels have this reserve.
  static Options Reporting(ReportOptions::When when,
                           Reserve reserve = Reserve());

  // Suffices on a busy machine for the answer of a server whose time is over.
  // The default leaves it 50 ms at most.
  static Reserve LongReserve() {
    return Reserve::Fixed(absl::Milliseconds(400));
  }

  ~FrontAndLeaf() override { Stop(); }

  // Starts both servers and makes the stubs. Stops the servers that it started
  // before.
  void Start(Options options);
  void Start() { Start(Options()); }

  // Returns when no handler runs any more; the stubs are null afterwards. A
  // derived fixture calls it in its destructor if handlers use its members.
  void Stop();

  // Calls the leaf for `ctx`. Mostly for handlers of the front.
  grpc::Status CallLeaf(const Context& ctx);

  // Calls the front. Returns the status and the report of that call.
  std::pair<grpc::Status, v1::CallReport> Call(absl::Duration timeout);

  // The same with any stub and any call.
  static std::pair<grpc::Status, v1::CallReport> Call(Probe::Stub& stub,
                                                      ClientCall& call);

  // The handlers of Probe's Unary, and the leaf's of Download. Set them before
  // or after Start(), while no call runs. By default the leaf answers OK at
  // once, and the front calls the leaf for its own context.
  Handler at_leaf_ = [](grpc::ServerContext&) { return grpc::Status::OK; };
  StreamHandler stream_at_leaf_ = [](grpc::ServerContext&,
                                     grpc::ServerWriter<Pong>*) {
    return grpc::Status::OK;
  };
  Handler at_front_ = [this](grpc::ServerContext& sc) {
    return CallLeaf(ContextOf(sc));
  };

  // Null before Start(). The front uses to_leaf_, so it is destroyed first.
  std::unique_ptr<ProbeServer> leaf_;
  std::unique_ptr<Probe::Stub> to_leaf_;
  std::unique_ptr<ProbeServer> front_;
  std::unique_ptr<Probe::Stub> to_front_;
};

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_FRONT_AND_LEAF_H_
