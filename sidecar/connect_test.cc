// SPDX-License-Identifier: Apache-2.0
//
// Apps that reach their targets by way of SidecarOptions::connect_listen, as
// gRPC's own support for HTTP proxies does.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/counters.h"
#include "sidecar/options.h"
#include "sidecar/sidecar.h"
#include "sidecar/testing/channel.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/start.h"
#include "sidecar/testing/unary_app.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using testing::AddressOf;
using ::testing::HasSubstr;
using testing::PlainClient;
using testing::UnaryApp;
using tether::testing::kGiveUp;

constexpr char kMethod[] = "/shop.Orders/Get";

class ConnectTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  // A sidecar with an egress to `target`, and a port for CONNECT.
  static SidecarOptions To(const std::string& target) {
    SidecarOptions options;
    options.ingress.app = AddressOf(1);
    options.egress.resize(1);
    options.egress[0].target = target;
    options.connect_listen = AddressOf(0);
    options.mode = Mode::kFull;
    options.threads = 2;
    return options;
  }

  // A channel of an app to `target`, which is told of the proxy.
  static std::shared_ptr<grpc::Channel> ByProxy(const Sidecar& sidecar,
                                                const std::string& target) {
    grpc::ChannelArguments arguments = testing::RoomyChannel();
    arguments.SetString(
        GRPC_ARG_HTTP_PROXY,
        absl::StrCat("http://", AddressOf(sidecar.connect_port())));
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  // A connection counts a moment after it has been given away.
  static int64_t ConnectsOnceServed(const Sidecar& sidecar) {
    const absl::Time limit = absl::Now() + kGiveUp;
    while (sidecar.connects() == 0 && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return sidecar.connects();
  }

  static UnaryApp::Handler Says(const std::string& text) {
    return [text](const UnaryApp::Held& request) {
      request->Answer(grpc::Status::OK, text);
    };
  }
};

TEST_F(ConnectTest, AnAppReachesItsTargetByItsOwnName) {
  UnaryApp target(Says("target"));
  const auto sidecar = testing::StartOnLoopback(To(target.address()));
  PlainClient client(ByProxy(*sidecar, target.address()));
  for (int i = 0; i < 20; ++i) {
    const auto call = client.Call({kMethod});
    const grpc::Status status = call->Wait();
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(call->reply(), "target");
  }
  EXPECT_EQ(sidecar->counters()[Count::kCalls], 20);
  EXPECT_EQ(ConnectsOnceServed(*sidecar), 1);
  EXPECT_EQ(sidecar->connects_refused(), 0);
}

TEST_F(ConnectTest, TargetsAreComparedByWhatTheyName) {
  UnaryApp target(Says("target"));
  const std::string port =
      target.address().substr(target.address().rfind(':') + 1);
  const auto sidecar = testing::StartOnLoopback(To("ipv4:127.0.0.1:" + port));
  PlainClient client(ByProxy(*sidecar, "[::ffff:127.0.0.1]:" + port));
  const auto call = client.Call({kMethod});
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(call->reply(), "target");
  EXPECT_EQ(ConnectsOnceServed(*sidecar), 1);
}

TEST_F(ConnectTest, ACallByProxyEndsWithItsRequest) {
  UnaryApp::Held at_target;
  absl::Notification arrived;
  UnaryApp target([&](const UnaryApp::Held& request) {
    at_target = request;
    arrived.Notify();
  });
  // The app calls its target with the request's baggage, and waits.
  std::shared_ptr<PlainClient> to_target;
  std::shared_ptr<testing::PlainCall> call;
  absl::Notification called;
  UnaryApp app([&](const UnaryApp::Held& request) {
    call =
        to_target->Call({kMethod, {{"baggage", request->header("baggage")}}});
    called.Notify();
  });
  SidecarOptions options = To(target.address());
  options.ingress.app = app.address();
  const auto sidecar = testing::StartOnLoopback(options);
  to_target =
      std::make_shared<PlainClient>(ByProxy(*sidecar, target.address()));
  PlainClient client(AddressOf(sidecar->ingress_port()));
  const auto request = client.Call({kMethod, {}, "", absl::Seconds(600)});
  ASSERT_TRUE(called.WaitForNotificationWithTimeout(kGiveUp));
  ASSERT_TRUE(arrived.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_LT(at_target->timeout(), absl::Seconds(601));
  EXPECT_EQ(at_target->header("baggage"), "");

  request->Cancel();
  EXPECT_TRUE(at_target->IsCancelledWithin(kGiveUp));
  EXPECT_EQ(call->Wait().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(call->status().error_message(),
            "context canceled: the caller cancelled the call or is gone");
  request->Wait();
  to_target.reset();
}

// The name doesn't exist: the app leaves it to the proxy to resolve it.
TEST_F(ConnectTest, AnotherTargetIsRefusedAndCounted) {
  UnaryApp target(Says("target"));
  const auto sidecar = testing::StartOnLoopback(To(target.address()));
  PlainClient client(ByProxy(*sidecar, "orders.invalid:443"));
  const grpc::Status status = client.Call({kMethod})->Wait();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(sidecar->connects_refused(), 1);
  EXPECT_EQ(sidecar->connects(), 0);
}

// Its port would expect TLS, which the tunnel doesn't bring.
TEST_F(ConnectTest, AnEgressWithTlsIsNoTarget) {
  UnaryApp target(Says("target"));
  SidecarOptions options = To(target.address());
  options.egress[0].listen_credentials = grpc::InsecureServerCredentials();
  const auto sidecar = testing::StartOnLoopback(options);
  PlainClient client(ByProxy(*sidecar, target.address()));
  EXPECT_EQ(client.Call({kMethod})->Wait().error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(sidecar->connects(), 0);
}

TEST_F(ConnectTest, AReloadMovesTargets) {
  UnaryApp first(Says("first"));
  UnaryApp second(Says("second"));
  SidecarOptions options = To(first.address());
  options.ingress.listen = AddressOf(0);
  options.egress[0].listen = AddressOf(0);
  auto started = Sidecar::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  const auto& sidecar = *started;
  PlainClient to_second(ByProxy(*sidecar, second.address()));
  EXPECT_FALSE(to_second.Call({kMethod})->Wait().ok());

  SidecarOptions changed = options;
  changed.egress[0].target = second.address();
  ASSERT_TRUE(sidecar->Reload(changed).ok());
  // Its first attempt was refused, and the next one comes after a while.
  const auto call = to_second.Call({kMethod, {}, "", kGiveUp, true});
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(call->reply(), "second");
  EXPECT_EQ(to_second.Call({kMethod})->Wait().ok(), true);

  // A connection that asked for the old target never reaches the new one.
  changed.egress[0].target = first.address();
  ASSERT_TRUE(sidecar->Reload(changed).ok());
  const absl::Time limit = absl::Now() + kGiveUp;
  for (;;) {
    const auto again = to_second.Call({kMethod});
    if (!again->Wait().ok()) break;  // it has ended
    ASSERT_EQ(again->reply(), "second");
    ASSERT_LT(absl::Now(), limit);
  }
  changed.egress[0].target = second.address();
  ASSERT_TRUE(sidecar->Reload(changed).ok());
  PlainClient to_first(ByProxy(*sidecar, first.address()));
  EXPECT_FALSE(to_first.Call({kMethod})->Wait().ok());

  changed.connect_listen = "";
  EXPECT_EQ(sidecar->Reload(changed).message(),
            "connect_listen can't be changed without a restart");
}

TEST_F(ConnectTest, DrainWaitsForCallsByProxy) {
  UnaryApp::Held held;
  absl::Notification arrived;
  UnaryApp target([&](const UnaryApp::Held& request) {
    held = request;
    arrived.Notify();
  });
  const auto sidecar = testing::StartOnLoopback(To(target.address()));
  PlainClient client(ByProxy(*sidecar, target.address()));
  const auto call = client.Call({kMethod});
  ASSERT_TRUE(arrived.WaitForNotificationWithTimeout(kGiveUp));
  std::thread drain([&] { sidecar->Drain(kGiveUp); });
  held->Answer(grpc::Status::OK, "answer");
  const grpc::Status status = call->Wait();
  EXPECT_TRUE(status.ok()) << status.error_message();
  drain.join();
  EXPECT_FALSE(client.Call({kMethod})->Wait().ok());
}

TEST_F(ConnectTest, ItsPortMustBeFree) {
  UnaryApp target(Says("target"));
  const auto first = testing::StartOnLoopback(To(target.address()));
  SidecarOptions options = To(target.address());
  options.connect_listen = AddressOf(first->connect_port());
  options.ingress.listen = options.egress[0].listen = AddressOf(0);
  const auto second = Sidecar::Start(options);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("can't listen on " + options.connect_listen));
}

}  // namespace
}  // namespace tether::sidecar
