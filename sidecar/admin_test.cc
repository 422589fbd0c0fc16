// SPDX-License-Identifier: Apache-2.0
//
// The sidecar's gRPC services for operators: health follows the app's port and
// a drain; the Inspector and reflection answer. On the real clock.

#include "sidecar/admin.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/figures.h"
#include "sidecar/options.h"
#include "sidecar/silent_app.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"
#include "tether/v1/inspector.grpc.pb.h"

namespace tether::sidecar {
namespace {

using testing::CallWithBytes;
using ::testing::HasSubstr;
using testing::SilentApp;
using tether::testing::kGiveUp;

// Within about a second, and more than that on a loaded machine.
constexpr absl::Duration kSoon = absl::Seconds(5);

// grpc.health.v1.HealthCheckResponse.ServingStatus
enum Serving { kServing = 1, kNotServing = 2 };

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() : channel_(app_->Connect()) {
    options_.grpc_listen = "127.0.0.1:0";
  }
  void Start() {
    auto admin = Admin::Start(options_, {[this] { return channel_; },
                                         [] { return SidecarFigures(); }});
    ASSERT_TRUE(admin.ok()) << admin.status();
    admin_ = *std::move(admin);
    admin_channel_ = grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", admin_->grpc_port()),
        grpc::InsecureChannelCredentials(), tether::testing::OwnConnection());
  }

  // Zero: there is no such service.
  int Check(const std::string& service) {
    // Both messages have one field, of number 1.
    const std::string request =
        service.empty()
            ? ""
            : absl::StrCat("\x0a",
                           std::string(1, static_cast<char>(service.size())),
                           service);
    const auto reply =
        CallWithBytes(admin_channel_, "/grpc.health.v1.Health/Check", request);
    return reply.ok() && reply->size() == 2 ? reply->at(1) : 0;
  }

  bool Becomes(const std::string& service, Serving expected) {
    const absl::Time begin = absl::Now();
    while (Check(service) != expected) {
      if (absl::Now() - begin > kGiveUp) return false;
      absl::SleepFor(absl::Milliseconds(10));
    }
    EXPECT_LT(absl::Now() - begin, kSoon);
    return true;
  }

  AdminOptions options_;
  std::optional<SilentApp> app_{std::in_place};
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Admin> admin_;
  std::shared_ptr<grpc::Channel> admin_channel_;
};

TEST_F(AdminTest, HealthFollowsTheAppsPort) {
  const int port = app_->port();
  app_.reset();
  Start();
  EXPECT_EQ(Check(""), kNotServing);
  EXPECT_EQ(Check("readiness"), kNotServing);
  EXPECT_EQ(Check("liveness"), kServing);
  EXPECT_EQ(Check("other"), 0);
  app_.emplace(port);
  EXPECT_TRUE(Becomes("readiness", kServing));
  EXPECT_TRUE(Becomes("", kServing));
  app_.reset();
  EXPECT_TRUE(Becomes("readiness", kNotServing));
  EXPECT_TRUE(Becomes("", kNotServing));
  EXPECT_EQ(Check("liveness"), kServing);
}

TEST_F(AdminTest, ADrainIsNotReadyAtOnceButAlive) {
  Start();
  ASSERT_TRUE(Becomes("readiness", kServing));
  admin_->Drain();
  EXPECT_EQ(Check(""), kNotServing);
  EXPECT_EQ(Check("readiness"), kNotServing);
  EXPECT_EQ(Check("liveness"), kServing);
}

TEST_F(AdminTest, TheInspectorAndReflectionAnswer) {
  Start();
  const auto inspector = v1::Inspector::NewStub(admin_channel_);
  {
    grpc::ClientContext context;
    v1::Snapshot snapshot;
    ASSERT_TRUE(inspector->List(&context, {}, &snapshot).ok());
    EXPECT_EQ(snapshot.pid(), getpid());
  }
  {
    // It would be FAILED_PRECONDITION if the process didn't count.
    grpc::ClientContext context;
    v1::PropagationHealth health;
    EXPECT_TRUE(inspector->GetPropagationHealth(&context, {}, &health).ok());
  }
  // ServerReflectionRequest.list_services = "*"
  const auto services = CallWithBytes(
      admin_channel_,
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      "\x3a\x01*");
  ASSERT_TRUE(services.ok()) << services.status();
  EXPECT_THAT(*services, HasSubstr("tether.v1.Inspector"));
  EXPECT_THAT(*services, HasSubstr("grpc.health.v1.Health"));
}

TEST_F(AdminTest, OtherServersOfTheProcessGetNoHealth) {
  Start();
  EXPECT_FALSE(grpc::DefaultHealthCheckServiceEnabled());
}

TEST_F(AdminTest, WithoutAddressesThereIsNothing) {
  const auto admin = Admin::Start({}, {});
  ASSERT_TRUE(admin.ok()) << admin.status();
  EXPECT_EQ((*admin)->grpc_port(), 0);
  EXPECT_EQ((*admin)->http_address(), "");
  (*admin)->Drain();
}

TEST_F(AdminTest, AUnixSocketHasNoPort) {
  options_.grpc_listen = absl::StrCat("unix:/tmp/tether-admin-", getpid());
  Start();
  EXPECT_EQ(admin_->grpc_port(), 0);
  admin_channel_ = grpc::CreateChannel(options_.grpc_listen,
                                       grpc::InsecureChannelCredentials());
  EXPECT_EQ(Check("liveness"), kServing);
}

TEST_F(AdminTest, WhatCannotBeServedIsAnErrorThatSaysWhat) {
  options_.grpc_listen = absl::StrCat("127.0.0.1:", app_->port());
  const AdminSource source = {[this] { return channel_; },
                              [] { return SidecarFigures(); }};
  const auto taken = Admin::Start(options_, source);
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(taken.status().message(),
            absl::StrCat("admin.grpc_listen: can't listen on ",
                         options_.grpc_listen));
  options_.http_listen = "127.0.0.1:0";
  EXPECT_EQ(Admin::Start(options_, source).status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tether::sidecar
