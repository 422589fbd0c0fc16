// SPDX-License-Identifier: Apache-2.0
//
// Two tether interceptors on one channel, and on one server: one of them serves
// the call, and the other does nothing. In this process one is registered
// globally, for all channels.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/request_id.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

ServerOptions AlwaysReporting() {
  ServerOptions options;
  options.report.when = ReportOptions::When::kAlways;
  return options;
}

class TwoInterceptorsTest : public testing::GrpcLeakCheckedTest {
 protected:
  static void SetUpTestSuite() {
    static ClientInterceptorFactory& factory = *new ClientInterceptorFactory;
    grpc::experimental::RegisterGlobalClientInterceptorFactory(&factory);
  }

  TwoInterceptorsTest() {
    leaf_.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      const std::string* id = RequestIdOf(ContextOf(sc));
      id_ = id == nullptr ? "none" : *id;
      remaining_ = ContextOf(sc).Remaining();
      headers_ = static_cast<int>(sc.client_metadata().count("tether-timeout"));
      return grpc::Status::OK;
    };
  }

  std::string id_;
  absl::Duration remaining_;
  int headers_ = 0;
  ProbeServer leaf_{{/*callback_api=*/false, AlwaysReporting()}};
  std::unique_ptr<Probe::Stub> to_leaf_ = leaf_.Stub();
};

TEST_F(TwoInterceptorsTest, ACallIsReportedOnce) {
  for (const bool plain : {false, true}) {
    ProbeServer front({/*callback_api=*/false, AlwaysReporting()});
    front.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      Pong pong;
      if (plain) {  // works for Current()
        grpc::ClientContext call;
        return to_leaf_->Unary(&call, Ping(), &pong);
      }
      ClientCall call(ContextOf(sc));
      return to_leaf_->Unary(&call, Ping(), &pong);
    };
    const auto stub = front.Stub();
    auto [ctx, cancel] =
        WithTimeout(WithRequestId(Background(), "one"), absl::Seconds(20));
    ClientCall call(ctx);
    Pong pong;
    ASSERT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
    const v1::CallReport report = call.report();
    ASSERT_EQ(report.report().calls_size(), 1) << report.ShortDebugString();
    EXPECT_TRUE(report.report().calls(0).answered());
    EXPECT_TRUE(report.report().calls(0).has_report());
    EXPECT_EQ(id_, "one");
    EXPECT_EQ(headers_, 1);
    EXPECT_LT(remaining_, absl::Seconds(20));
  }
}

TEST_F(TwoInterceptorsTest, ControlTheGlobalOneServesAChannelThatHasNoOther) {
  const auto stub = leaf_.Stub(std::nullopt);
  ClientCall call(WithRequestId(Background(), "one"));
  Pong pong;
  EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
  EXPECT_EQ(id_, "one");
  EXPECT_TRUE(call.report().has_report());
}

TEST_F(TwoInterceptorsTest, AServerAnswersWithOneReport) {
  for (const int count : {1, 2}) {
    ProbeServer::Options options;
    options.install = [&](grpc::ServerBuilder& builder) {
      std::vector<std::unique_ptr<
          grpc::experimental::ServerInterceptorFactoryInterface>>
          creators;
      for (int i = 0; i < count; ++i) {
        creators.push_back(
            std::make_unique<ServerInterceptorFactory>(AlwaysReporting()));
      }
      builder.experimental().SetInterceptorCreators(std::move(creators));
    };
    ProbeServer front(std::move(options));
    Context seen, current;
    front.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      seen = ContextOf(sc);
      current = Current();
      EXPECT_FALSE(seen.Done());
      ClientCall call(seen);
      Pong pong;
      return to_leaf_->Unary(&call, Ping(), &pong);
    };
    const auto stub = front.Stub();
    const auto bad_reports = GetGrpcStats().bad_reports;
    ClientCall call(WithRequestId(Background(), "one"));
    Pong pong;
    ASSERT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
    EXPECT_EQ(GetGrpcStats().bad_reports, bad_reports);
    EXPECT_EQ(call.report().report().calls_size(), 1);
    EXPECT_EQ(seen, current);
    EXPECT_EQ(id_, "one");
    EXPECT_TRUE(seen.Done());  // the handler has returned
    seen = current = Context();
  }
}

}  // namespace
}  // namespace tether
