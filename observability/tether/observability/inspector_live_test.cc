// SPDX-License-Identifier: Apache-2.0
//
// tether.v1.Inspector with what is really in flight: its own requests and calls
// are left out, and a request that waits is there.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/observability/inspector_service.h"
#include "tether/observability/metrics.h"
#include "tether/testing/give_up.h"
#include "tether/v1/inspector.grpc.pb.h"

namespace tether {
namespace {

using testing::kGiveUp;

class InspectorLiveTest : public testing::FrontAndLeaf {
 protected:
  InspectorLiveTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    InstallServer(builder);
    testing::LoopbackServer started = testing::ListenOnLoopback(builder);
    server_ = std::move(started.server);
    stub_ = v1::Inspector::NewStub(CreateChannel(
        "127.0.0.1:" + std::to_string(started.port),
        grpc::InsecureChannelCredentials(), {}, testing::OwnConnection()));
  }
  ~InspectorLiveTest() override { StopInspector(); }

  void TearDown() override {
    Stop();
    StopInspector();
    FrontAndLeaf::TearDown();
  }

  void StopInspector() {
    stub_.reset();
    if (server_ != nullptr) server_->Shutdown();
    server_.reset();
  }

  v1::Snapshot List() {
    const Cancellable caller = WithTimeout(Background(), kGiveUp);
    ClientCall call(caller.ctx);
    v1::Snapshot snapshot;
    EXPECT_TRUE(stub_->List(&call, v1::ListRequest(), &snapshot).ok());
    return snapshot;
  }

  grpc::Status GetHealth(v1::PropagationHealth* health) {
    const Cancellable caller = WithTimeout(Background(), kGiveUp);
    ClientCall call(caller.ctx);
    return stub_->GetPropagationHealth(&call, v1::GetPropagationHealthRequest(),
                                       health);
  }

  std::unique_ptr<grpc::Service> service_ = MakeInspectorService();
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Inspector::Stub> stub_;
};

TEST_F(InspectorLiveTest, ItsOwnRequestsAndCallsAreLeftOut) {
  const Cancellable caller = WithCancel(Background());
  ClientCall watching(caller.ctx);
  const auto watch = stub_->Watch(&watching, v1::WatchRequest());
  v1::Snapshot snapshot;
  ASSERT_TRUE(watch->Read(&snapshot));
  for (const v1::Snapshot& now : {snapshot, List()}) {
    EXPECT_EQ(now.requests_in_flight(), 0) << now.DebugString();
    EXPECT_EQ(now.calls_in_flight(), 0) << now.DebugString();
    EXPECT_EQ(now.requests_size(), 0);
    EXPECT_EQ(now.other_calls_size(), 0);
    EXPECT_EQ(now.process(), "inspector_live_test");
  }
  watching.TryCancel();
  while (watch->Read(&snapshot)) {
  }
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(InspectorLiveTest, ARequestThatWaitsIsListedWithItsCall) {
  absl::Notification waits, release;
  at_leaf_ = [&](grpc::ServerContext&) {
    waits.Notify();
    release.WaitForNotification();
    return grpc::Status::OK;
  };
  Start();
  std::thread client([this] { Call(kGiveUp); });
  waits.WaitForNotification();
  const v1::Snapshot now = List();
  release.Notify();
  client.join();
  EXPECT_EQ(now.requests_in_flight(), 2);
  EXPECT_EQ(now.calls_in_flight(), 2);
  ASSERT_EQ(now.requests_size(), 2);
  EXPECT_EQ(now.other_calls_size(), 1);
  EXPECT_EQ(
      now.requests(0).waits_for_total() + now.requests(1).waits_for_total(), 1);
  EXPECT_GT(now.requests(0).time_left_us(), 0);
}

TEST_F(InspectorLiveTest, TheHealthIsKnownOnceTheProcessCounts) {
  v1::PropagationHealth health;
  // This process may have begun to count in another test.
  if (ReadMetrics().counted_for <= absl::ZeroDuration()) {
    EXPECT_EQ(GetHealth(&health).error_code(),
              grpc::StatusCode::FAILED_PRECONDITION);
  }
  StartMetrics();
  EXPECT_TRUE(GetHealth(&health).ok());
  EXPECT_GT(health.counted_us(), 0);
  EXPECT_EQ(health.findings_size(), 0) << health.DebugString();
}

}  // namespace
}  // namespace tether
