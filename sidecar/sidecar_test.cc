// SPDX-License-Identifier: Apache-2.0
//
// What surrounds the calls: ports, reloads, TLS, unix sockets.

#include "sidecar/sidecar.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/options.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/start.h"
#include "sidecar/testing/unary_app.h"
#include "testing/temp_folder.h"
#include "testing/test_certificate.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/fresh_process.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using testing::AddressOf;
using ::testing::HasSubstr;
using testing::PlainClient;
using testing::UnaryApp;
using tether::testing::kGiveUp;

constexpr char kMethod[] = "/shop.Orders/Get";

UnaryApp::Handler Says(const std::string& text) {
  return [text](const UnaryApp::Held& request) {
    request->Answer(grpc::Status::OK, text);
  };
}

class SidecarTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  std::string Socket(const std::string& name) const {
    return folder_.Socket(name);
  }

  SidecarOptions WithApp(const std::string& app) const {
    SidecarOptions options;
    options.ingress.listen = Socket("ingress");
    options.ingress.app = app;
    options.mode = Mode::kFull;
    options.threads = 2;
    return options;
  }

  static EgressOptions To(const std::string& listen,
                          const std::string& target) {
    EgressOptions egress;
    egress.listen = listen;
    egress.target = target;
    return egress;
  }

  static std::unique_ptr<Sidecar> Start(const SidecarOptions& options) {
    auto started = Sidecar::Start(options);
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? *std::move(started) : nullptr;
  }

  static std::string ReplyFrom(const std::string& address) {
    PlainClient client(address);
    auto call = client.Call({kMethod, {}, "", absl::Seconds(10)});
    const grpc::Status status = call->Wait();
    return status.ok() ? call->reply() : status.error_message();
  }

  static int ThreadsOfCalls() {
    const std::vector<std::string> names = tether::testing::ThreadNames();
    return std::count(names.begin(), names.end(), "sidecar-calls");
  }

  const tether::testing::TempFolder folder_;
};

TEST_F(SidecarTest, UnixSocketsCarryCalls) {
  UnaryApp app(Says("app"), Socket("app"));
  UnaryApp target(Says("target"), Socket("target"));
  SidecarOptions options = WithApp(app.address());
  options.egress = {To(Socket("egress"), target.address())};
  const auto sidecar = Start(options);
  EXPECT_EQ(ReplyFrom(Socket("ingress")), "app");
  EXPECT_EQ(ReplyFrom(Socket("egress")), "target");
  EXPECT_EQ(sidecar->ingress_port(), 0);
}

TEST_F(SidecarTest, AllPortsShareTheirThreads) {
  UnaryApp app(Says("app"));
  UnaryApp orders(Says("orders"));
  SidecarOptions options = WithApp(app.address());
  options.threads = 8;
  options.egress = {To(Socket("a"), orders.address()),
                    To(Socket("b"), orders.address())};
  const auto sidecar = Start(options);
  ASSERT_NE(sidecar, nullptr);
  // Threads that gRPC starts on one of them have its name for a moment.
  EXPECT_GE(ThreadsOfCalls(), 8);
  EXPECT_LT(ThreadsOfCalls(), 16);
  EXPECT_EQ(ReplyFrom(Socket("ingress")), "app");
  EXPECT_EQ(ReplyFrom(Socket("a")), "orders");

  // The threads stay if a port goes, and serve the others.
  options.egress.pop_back();
  ASSERT_TRUE(sidecar->Reload(options).ok());
  EXPECT_EQ(ReplyFrom(Socket("a")), "orders");
  EXPECT_GE(ThreadsOfCalls(), 8);
}

// Prometheus would take a counter that falls for a restart.
TEST_F(SidecarTest, NothingIsForgottenWhileAPortIsDrained) {
  UnaryApp app(Says("app"));
  std::vector<UnaryApp::Held> held;
  absl::Notification arrived;
  UnaryApp target([&](const UnaryApp::Held& request) {
    held.push_back(request);
    arrived.Notify();
  });
  SidecarOptions options = WithApp(app.address());
  options.egress = {To(Socket("old"), target.address())};
  const auto sidecar = Start(options);
  PlainClient client(Socket("old"));
  auto under_way = client.Call({kMethod});
  ASSERT_TRUE(arrived.WaitForNotificationWithTimeout(kGiveUp));
  EXPECT_EQ(sidecar->counters()[Count::kCalls], 1);
  options.egress.clear();
  ASSERT_TRUE(sidecar->Reload(options).ok());
  EXPECT_EQ(sidecar->counters()[Count::kCalls], 1);
  EXPECT_EQ(sidecar->egress_in_flight(), 1);
  held[0]->Answer(grpc::Status::OK);
  EXPECT_TRUE(under_way->Wait().ok());
  const absl::Time limit = absl::Now() + kGiveUp;
  while (sidecar->egress_in_flight() != 0 && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(sidecar->egress_in_flight(), 0);
  EXPECT_EQ(sidecar->counters()[Count::kCalls], 1);
}

TEST_F(SidecarTest, APortBelongsToOneSidecar) {
  UnaryApp app(Says("app"));
  SidecarOptions options = WithApp(app.address());
  options.ingress.listen = AddressOf(0);
  const auto first = Start(options);
  options.ingress.listen = AddressOf(first->ingress_port());
  const auto second = Sidecar::Start(options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "can't listen on " + AddressOf(first->ingress_port()));
}

TEST_F(SidecarTest, AReloadSendsNewCallsToTheNewTarget) {
  UnaryApp app(Says("app"));
  std::vector<UnaryApp::Held> held;
  absl::Notification arrived;
  UnaryApp first([&](const UnaryApp::Held& request) {
    held.push_back(request);
    arrived.Notify();
  });
  UnaryApp second(Says("second"));
  SidecarOptions options = WithApp(app.address());
  options.egress = {To(Socket("egress"), first.address())};
  const auto sidecar = Start(options);
  PlainClient client(Socket("egress"));
  auto under_way = client.Call({kMethod});
  ASSERT_TRUE(arrived.WaitForNotificationWithTimeout(kGiveUp));

  options.egress[0].target = second.address();
  ASSERT_TRUE(sidecar->Reload(options).ok());

  EXPECT_EQ(ReplyFrom(Socket("egress")), "second");
  held[0]->Answer(grpc::Status::OK, "first");
  EXPECT_TRUE(under_way->Wait().ok());
  EXPECT_EQ(under_way->reply(), "first");
}

TEST_F(SidecarTest, AReloadAddsPortsAndDrainsThoseThatAreGone) {
  UnaryApp app(Says("app"));
  std::vector<UnaryApp::Held> held;
  absl::Notification arrived;
  UnaryApp target([&](const UnaryApp::Held& request) {
    if (request->message() != "hold") {
      return request->Answer(grpc::Status::OK, "target");
    }
    held.push_back(request);
    arrived.Notify();
  });
  SidecarOptions options = WithApp(app.address());
  options.egress = {To(Socket("old"), target.address())};
  const auto sidecar = Start(options);
  PlainClient client(Socket("old"));
  auto under_way = client.Call({kMethod, {}, "hold"});
  ASSERT_TRUE(arrived.WaitForNotificationWithTimeout(kGiveUp));

  options.egress = {To(Socket("new"), target.address())};
  ASSERT_TRUE(sidecar->Reload(options).ok());

  EXPECT_EQ(ReplyFrom(Socket("new")), "target");
  held[0]->Answer(grpc::Status::OK, "target");
  EXPECT_TRUE(under_way->Wait().ok());
  // It is drained on another thread, which may not have begun.
  const absl::Time limit = absl::Now() + kGiveUp;
  while (ReplyFrom(Socket("old")) == "target" && absl::Now() < limit) {
  }
  EXPECT_NE(ReplyFrom(Socket("old")), "target");
  EXPECT_EQ(ReplyFrom(Socket("ingress")), "app");
}

TEST_F(SidecarTest, AReloadThatCantOpenAPortChangesNothing) {
  UnaryApp app(Says("app"));
  UnaryApp target(Says("target"));
  SidecarOptions options = WithApp(app.address());
  options.egress = {To(Socket("egress"), target.address())};
  const auto sidecar = Start(options);

  SidecarOptions bad = options;
  bad.mode = Mode::kObserve;
  bad.egress = {To(Socket("new"), target.address()),
                To(Socket("no such folder/x"), target.address())};
  const absl::Status status = sidecar->Reload(bad);

  EXPECT_THAT(std::string(status.message()), HasSubstr("no such folder/x"));
  EXPECT_EQ(sidecar->mode(), Mode::kFull);
  EXPECT_EQ(ReplyFrom(Socket("egress")), "target");
  EXPECT_NE(ReplyFrom(Socket("new")), "target");
}

TEST_F(SidecarTest, AReloadSaysWhatNeedsARestart) {
  UnaryApp app(Says("app"));
  const SidecarOptions options = WithApp(app.address());
  const auto sidecar = Start(options);
  SidecarOptions changed = options;
  changed.threads = 3;
  EXPECT_EQ(sidecar->Reload(changed).message(),
            "threads can't be changed without a restart");
  changed = options;
  changed.max_requests = 7;
  EXPECT_EQ(sidecar->Reload(changed).message(),
            "max_requests can't be changed without a restart");
  changed = options;
  changed.tombstone_life = absl::Seconds(7);
  EXPECT_EQ(sidecar->Reload(changed).message(),
            "tombstone_life can't be changed without a restart");
  changed = options;
  changed.ingress.credentials_id = "another certificate";
  EXPECT_EQ(sidecar->Reload(changed).message(),
            "the credentials of ingress.listen can't be changed without a "
            "restart");
}

TEST_F(SidecarTest, NoCallIsLostInAReload) {
  UnaryApp app(Says("app"));
  UnaryApp targets[] = {UnaryApp(Says("target")), UnaryApp(Says("target"))};
  SidecarOptions options = WithApp(app.address());
  options.egress = {To(Socket("egress"), targets[0].address())};
  const auto sidecar = Start(options);
  PlainClient to_app(Socket("ingress"));
  PlainClient to_target(Socket("egress"));
  std::vector<std::shared_ptr<testing::PlainCall>> calls;
  for (int i = 0; i < 40; ++i) {
    for (int j = 0; j < 10; ++j) {
      calls.push_back(to_app.Call({kMethod}));
      calls.push_back(to_target.Call({kMethod}));
    }
    options.egress[0].target = targets[i % 2].address();
    options.mode = i % 3 == 0 ? Mode::kObserve : Mode::kFull;
    ASSERT_TRUE(sidecar->Reload(options).ok());
  }
  for (const auto& call : calls) {
    const grpc::Status status = call->Wait();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(sidecar->counters()[Count::kRequests], 400);
  EXPECT_EQ(sidecar->counters()[Count::kCalls], 400);
}

// ---- TLS --------------------------------------------------------------------

grpc::SslCredentialsOptions ClientTls(bool with_certificate) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = kTestCertificate;
  if (with_certificate) {
    options.pem_private_key = kTestKey;
    options.pem_cert_chain = kTestCertificate;
  }
  return options;
}

std::shared_ptr<grpc::ServerCredentials> MutualTls() {
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = kTestCertificate;
  options.pem_key_cert_pairs.push_back({kTestKey, kTestCertificate});
  return grpc::SslServerCredentials(options);
}

std::string ReplyOverTls(int port, bool with_certificate) {
  PlainClient client(grpc::CreateChannel(
      AddressOf(port), grpc::SslCredentials(ClientTls(with_certificate))));
  auto call = client.Call({kMethod, {}, "", absl::Seconds(10)});
  const grpc::Status status = call->Wait();
  return status.ok() ? call->reply() : "no connection";
}

TEST_F(SidecarTest, CallersNeedACertificateIfTheIngressSaysSo) {
  UnaryApp app(Says("app"));
  SidecarOptions options = WithApp(app.address());
  options.ingress.listen = AddressOf(0);
  options.ingress.credentials = MutualTls();
  options.ingress.credentials_id = "a";
  const auto sidecar = Start(options);
  EXPECT_EQ(ReplyOverTls(sidecar->ingress_port(), true), "app");
  EXPECT_EQ(ReplyOverTls(sidecar->ingress_port(), false), "no connection");
}

// The target is another sidecar's ingress. The app calls it by the name of its
// own sidecar's port, which isn't in the target's certificate.
TEST_F(SidecarTest, ATargetIsReachedByMutualTls) {
  UnaryApp app(Says("app"));
  SidecarOptions remote = WithApp(app.address());
  remote.ingress.listen = AddressOf(0);
  remote.ingress.credentials = MutualTls();
  remote.ingress.credentials_id = "a";
  const auto remote_sidecar = Start(remote);

  SidecarOptions options = WithApp(app.address());
  EgressOptions egress =
      To(Socket("egress"), AddressOf(remote_sidecar->ingress_port()));
  egress.credentials = grpc::SslCredentials(ClientTls(true));
  egress.credentials_id = "b";
  options.egress = {egress};
  const auto sidecar = Start(options);
  EXPECT_EQ(ReplyFrom(Socket("egress")), "app");
}

}  // namespace
}  // namespace tether::sidecar
