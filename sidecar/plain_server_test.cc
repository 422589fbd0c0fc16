// SPDX-License-Identifier: Apache-2.0
//
// A plain server's generic service gets calls of health and reflection, which
// gRPC would otherwise answer itself.

#include "sidecar/plain_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/silent_app.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"

namespace tether::sidecar {
namespace {

constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

// Stands for the app.
class App final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext*) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      Reactor() { Finish(grpc::Status(grpc::StatusCode::ABORTED, "the app")); }
      void OnDone() override { delete this; }
    };
    return new Reactor;
  }
};

class PlainServerTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  // The message of a call's status.
  static std::string Call(bool is_plain, const std::string& method) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    App app;
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&app);
    if (is_plain) MakePlain(builder);
    const tether::testing::LoopbackServer server =
        tether::testing::ListenOnLoopback(builder);
    grpc::EnableDefaultHealthCheckService(false);
    const auto channel = grpc::CreateCustomChannel(
        server.address, grpc::InsecureChannelCredentials(),
        tether::testing::OwnConnection());
    const auto reply = testing::CallWithBytes(channel, method, "");
    server.server->Shutdown(absl::ToChronoTime(absl::Now()));
    return std::string(reply.status().message());
  }
};

TEST_F(PlainServerTest, TheAppAnswersItsHealthAndReflection) {
  EXPECT_EQ(Call(true, kHealth), "the app");
  EXPECT_EQ(Call(true, kReflection), "the app");
  EXPECT_EQ(Call(true, "/a.B/C"), "the app");
}

TEST_F(PlainServerTest, ElseGrpcDoes) {
  EXPECT_NE(Call(false, kHealth), "the app");
  EXPECT_NE(Call(false, kReflection), "the app");
  EXPECT_EQ(Call(false, "/a.B/C"), "the app");
}

}  // namespace
}  // namespace tether::sidecar
