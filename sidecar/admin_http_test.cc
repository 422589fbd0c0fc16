// SPDX-License-Identifier: Apache-2.0
//
// The sidecar's page over HTTP: probes that follow the app's port and a drain,
// metrics, figures as JSON.
//
// The test needs civetweb and prometheus-cpp (tools/setup.sh observability), so
// it is "manual".

#include <google/protobuf/util/json_util.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/admin.h"
#include "sidecar/figures.h"
#include "sidecar/options.h"
#include "sidecar/silent_app.h"
#include "tether/observability/testing/http_client.h"
#include "tether/testing/give_up.h"
#include "tether/v1/sidecar_status.pb.h"

namespace tether::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::SilentApp;
using ::testing::StartsWith;
using tether::testing::Http;
using tether::testing::HttpReply;
using tether::testing::kGiveUp;

class AdminHttpTest : public ::testing::Test {
 protected:
  AdminHttpTest() : channel_(app_->Connect()) {
    options_.http_listen = "127.0.0.1:0";
    figures_.mode = "observe";
    figures_.requests = 7;
    figures_.by_id = 5;
    figures_.would_cut = {{"/a.B/\"\xff", 3}};
  }
  void Start() {
    auto admin = Admin::Start(
        options_, {[this] { return channel_; }, [this] { return figures_; }});
    ASSERT_TRUE(admin.ok()) << admin.status();
    admin_ = *std::move(admin);
    const std::string address = admin_->http_address();
    ASSERT_THAT(address, StartsWith("127.0.0.1:"));
    ASSERT_TRUE(absl::SimpleAtoi(address.substr(10), &port_));
  }
  HttpReply Get(const std::string& path) { return Http(port_, "GET", path); }

  bool Becomes(int code) {
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (Get("/readyz").code != code) {
      if (absl::Now() > give_up) return false;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return true;
  }

  AdminOptions options_;
  SidecarFigures figures_;
  std::optional<SilentApp> app_{std::in_place};
  // Its threads serve the channel's connections, as the sidecar's would.
  SilentApp other_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Admin> admin_;
  int port_ = 0;
};

TEST_F(AdminHttpTest, ProbesFollowTheAppsPortAndTheDrain) {
  const int port = app_->port();
  app_.reset();
  Start();
  EXPECT_EQ(Get("/readyz").code, 503);
  EXPECT_EQ(Get("/readyz").body, "the app's port can't be connected\n");
  EXPECT_EQ(Get("/livez").code, 200);
  EXPECT_EQ(Get("/livez").body, "alive\n");
  app_.emplace(port);
  EXPECT_TRUE(Becomes(200));
  EXPECT_EQ(Get("/readyz").body, "ready\n");
  app_.reset();
  EXPECT_TRUE(Becomes(503));
  app_.emplace(port);
  EXPECT_TRUE(Becomes(200));
  admin_->Drain();
  EXPECT_EQ(Get("/readyz").code, 503);
  EXPECT_EQ(Get("/readyz").body, "draining\n");
  EXPECT_EQ(Get("/livez").code, 200);
}

TEST_F(AdminHttpTest, MetricsAreTheSidecarsAndTethers) {
  Start();
  ASSERT_TRUE(Becomes(200));
  const HttpReply reply = Get("/metrics");
  EXPECT_EQ(reply.code, 200);
  EXPECT_THAT(reply.headers.at("content-type"), StartsWith("text/plain; v"));
  for (const char* line :
       {"# HELP tether_sidecar_requests_total Requests for the app.\n"
        "# TYPE tether_sidecar_requests_total counter\n"
        "tether_sidecar_requests_total 7\n",
        "# TYPE tether_sidecar_ready gauge\ntether_sidecar_ready 1\n",
        "\ntether_sidecar_calls_total{correlated=\"id\"} 5\n",
        "\ntether_sidecar_calls_total{correlated=\"off\"} 0\n",
        "\ntether_sidecar_in_flight{side=\"ingress\"} 0\n",
        "\ntether_sidecar_mode{mode=\"observe\"} 1\n",
        // C's escapes, and those of the format.
        R"(tether_sidecar_would_cut_total{method="/a.B/\\\"\\xff"} 3)",
        "\ntether_contexts "}) {
    EXPECT_THAT(reply.body, HasSubstr(line));
  }
  admin_->Drain();
  EXPECT_THAT(Get("/metrics").body, HasSubstr("\ntether_sidecar_ready 0\n"));
}

TEST_F(AdminHttpTest, FiguresAreJson) {
  Start();
  ASSERT_TRUE(Becomes(200));
  const HttpReply reply = Get("/sidecar.json");
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_THAT(reply.body, HasSubstr(R"("draining":false)"));
  v1::SidecarStatus status;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(reply.body, &status).ok())
      << reply.body;
  EXPECT_EQ(status.mode(), "observe");
  EXPECT_TRUE(status.ready());
  EXPECT_EQ(status.requests(), 7);
  EXPECT_EQ(status.would_cut().at("/a.B/\\\"\\xff"), 3);
}

TEST_F(AdminHttpTest, TheStatusPageIsThere) {
  Start();
  for (const char* path : {"/", "/health-of-propagation", "/requests.json",
                           "/health-of-propagation.json"}) {
    EXPECT_EQ(Get(path).code, 200) << path;
  }
  EXPECT_THAT(Get("/x").body, HasSubstr("/sidecar.json"));
}

TEST_F(AdminHttpTest, OnlyNamesThatAreAllowedReachIt) {
  options_.http_allowed_hosts = {"orders.internal"};
  Start();
  EXPECT_EQ(Http(port_, "GET", "/livez", "orders.internal").code, 200);
  EXPECT_EQ(Http(port_, "GET", "/livez", "10.0.0.7:8080").code, 200);
  EXPECT_EQ(Http(port_, "GET", "/livez", "evil.example").code, 403);
}

TEST_F(AdminHttpTest, APageThatCannotListenIsAnErrorThatSaysSo) {
  options_.http_listen = absl::StrCat("127.0.0.1:", app_->port());
  const auto admin = Admin::Start(
      options_, {[this] { return channel_; }, [this] { return figures_; }});
  EXPECT_EQ(admin.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(admin.status().message()),
              StartsWith(absl::StrCat("admin.http_listen: can't listen on ",
                                      options_.http_listen, ": ")));
}

}  // namespace
}  // namespace tether::sidecar
