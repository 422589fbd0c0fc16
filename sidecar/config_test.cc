// SPDX-License-Identifier: Apache-2.0
//
// Tests what a sidecar's configuration means, and that each mistake in it is
// one line with its place.

#include "sidecar/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/options.h"
#include "testing/temp_folder.h"
#include "tether/grpc/report_options.h"

namespace tether::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using tether::testing::TempFolder;

constexpr char kIngress[] =
    "ingress { listen: '127.0.0.1:1' app: '127.0.0.1:2' }\n";
constexpr char kCertificate[] = "-----BEGIN CERTIFICATE-----\n";
constexpr char kKey[] = "-----BEGIN PRIVATE KEY-----\n";

// "" if there are none.
std::string Errors(std::string_view text) {
  const auto options = ParseConfig(text, "f");
  EXPECT_EQ(options.ok() ? absl::StatusCode::kOk : options.status().code(),
            options.ok() ? absl::StatusCode::kOk
                         : absl::StatusCode::kInvalidArgument);
  return std::string(options.status().message());
}

// Of a configuration that is complete without `text`, which begins in line 2.
std::string ErrorsOf(std::string_view text) {
  return Errors(absl::StrCat(kIngress, std::string(text)));
}

SidecarOptions Parsed(std::string_view text) {
  const auto options = ParseConfig(text, "f");
  EXPECT_EQ(options.status(), absl::OkStatus());
  return options.ok() ? *options : SidecarOptions();
}

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(ConfigTest, TheSimplestOneHasTheDefaults) {
  const auto parsed = LoadConfig("sidecar/examples/simple.textproto");
  ASSERT_EQ(parsed.status(), absl::OkStatus());
  const SidecarOptions& options = *parsed;
  const SidecarOptions defaults;

  EXPECT_EQ(options.ingress.listen, "0.0.0.0:50051");
  EXPECT_EQ(options.ingress.app, "127.0.0.1:8080");
  EXPECT_EQ(options.ingress.credentials, nullptr);
  EXPECT_EQ(options.ingress.app_credentials, nullptr);
  EXPECT_EQ(options.ingress.credentials_id, "");
  EXPECT_EQ(options.ingress.app_credentials_id, "");
  EXPECT_EQ(options.ingress.app_server_name, "");
  EXPECT_FALSE(options.ingress.server.edge.has_value());
  EXPECT_FALSE(options.ingress.server.time.max_timeout.has_value());
  EXPECT_FALSE(options.ingress.server.time.default_timeout.has_value());
  EXPECT_FALSE(options.ingress.server.time.min_budget.has_value());
  EXPECT_THAT(options.ingress.server.methods, IsEmpty());
  EXPECT_EQ(options.ingress.server.shed_fraction, 0.2);
  EXPECT_FALSE(options.ingress.server.report.when.has_value());
  EXPECT_EQ(options.ingress.server.report.min_fraction, 0.1);
  EXPECT_EQ(options.ingress.server.report.max_headers_bytes, 4000u);

  ASSERT_THAT(options.egress, SizeIs(1));
  EXPECT_EQ(options.egress[0].listen, "127.0.0.1:15001");
  EXPECT_EQ(options.egress[0].target, "dns:///orders:50051");
  EXPECT_EQ(options.egress[0].credentials, nullptr);
  EXPECT_EQ(options.egress[0].listen_credentials, nullptr);
  EXPECT_EQ(options.egress[0].correlate, Correlate::kFull);
  EXPECT_THAT(options.egress[0].methods, IsEmpty());
  EXPECT_FALSE(options.egress[0].allow_remote);

  EXPECT_EQ(options.mode, Mode::kObserve);
  EXPECT_EQ(options.reserve.fixed, absl::Milliseconds(3));
  EXPECT_EQ(options.reserve.fraction, 0.03);
  EXPECT_EQ(options.reserve.cap, absl::Milliseconds(50));
  EXPECT_EQ(options.max_in_flight, 10'000);
  EXPECT_EQ(options.max_requests, 65'536u);
  EXPECT_EQ(options.tombstone_life, absl::Seconds(60));
  EXPECT_EQ(options.threads, 0);
  EXPECT_EQ(options.drain, absl::Seconds(10));
  EXPECT_EQ(options.connect_listen, "");
  EXPECT_EQ(options.admin.http_listen, "");
  EXPECT_EQ(options.admin.grpc_listen, "");
  EXPECT_THAT(options.admin.http_allowed_hosts, IsEmpty());
  EXPECT_EQ(options.access_log.path, "");
  EXPECT_EQ(options.access_log.sample, 1);
}

TEST(ConfigTest, TheExampleOfARollOutIsRight) {
  const auto options = LoadConfig("sidecar/examples/rollout.textproto");
  ASSERT_EQ(options.status(), absl::OkStatus());
  EXPECT_EQ(options->mode, Mode::kDeadline);
  ASSERT_THAT(options->egress, SizeIs(2));
  EXPECT_EQ(options->egress[1].correlate, Correlate::kOff);
}

class FullConfigTest : public ::testing::Test {
 protected:
  // The example, with other files.
  FullConfigTest() {
    for (const char* name : {"sidecar", "callers", "app", "services"}) {
      folder_.Write(absl::StrCat("tls/", name, ".crt"), kCertificate);
    }
    folder_.Write("tls/sidecar.key", kKey);
    text_ = absl::StrReplaceAll(Read("sidecar/examples/full.textproto"),
                                {{"/etc/tether/tls", folder_.File("tls")}});
  }

  const TempFolder folder_;
  std::string text_;
};

TEST_F(FullConfigTest, SetsTheIngress) {
  const SidecarOptions options = Parsed(text_);
  const IngressOptions& ingress = options.ingress;
  EXPECT_EQ(ingress.app, "unix:/run/shop/app.sock");
  EXPECT_NE(ingress.credentials, nullptr);
  EXPECT_NE(ingress.app_credentials, nullptr);
  EXPECT_NE(ingress.credentials_id, ingress.app_credentials_id);
  EXPECT_THAT(ingress.credentials_id, SizeIs(16));
  EXPECT_EQ(ingress.app_server_name, "app.internal");
  ASSERT_TRUE(ingress.server.edge.has_value());
  EXPECT_FALSE(ingress.server.edge->keep_trace);
  EXPECT_TRUE(ingress.server.edge->keep_request_id);
  EXPECT_THAT(ingress.server.edge->keep_headers, ElementsAre("baggage"));
  EXPECT_EQ(ingress.server.time.max_timeout, absl::Seconds(10));
  EXPECT_EQ(ingress.server.time.default_timeout, absl::Seconds(5));
  EXPECT_EQ(ingress.server.time.min_budget, absl::Milliseconds(2));
  ASSERT_THAT(ingress.server.methods, SizeIs(2));
  EXPECT_EQ(ingress.server.methods[0].pattern, "/shop.v1.Storefront/*");
  EXPECT_EQ(ingress.server.methods[0].time.max_timeout, absl::Seconds(2));
  EXPECT_FALSE(ingress.server.methods[0].time.min_budget.has_value());
  EXPECT_EQ(ingress.server.methods[1].time.max_timeout, absl::Minutes(5));
  EXPECT_EQ(ingress.server.methods[1].time.min_budget, absl::ZeroDuration());
  EXPECT_EQ(ingress.server.shed_fraction, 0.1);
  EXPECT_EQ(ingress.server.report.when, ReportOptions::When::kAlways);
  EXPECT_EQ(ingress.server.report.min_fraction, 0.2);
  EXPECT_EQ(ingress.server.report.max_headers_bytes, 7000u);
}

TEST_F(FullConfigTest, SetsTheEgressPorts) {
  const SidecarOptions options = Parsed(text_);
  ASSERT_THAT(options.egress, SizeIs(2));
  const EgressOptions& orders = options.egress[0];
  EXPECT_NE(orders.credentials, nullptr);
  EXPECT_EQ(orders.listen_credentials, nullptr);
  EXPECT_EQ(orders.server_name, "orders.shop.svc");
  ASSERT_THAT(orders.methods, SizeIs(3));
  EXPECT_EQ(orders.methods[0].pattern, "/shop.v1.Audit/*");
  EXPECT_EQ(orders.methods[0].correlate, Correlate::kOff);
  EXPECT_EQ(orders.methods[2].correlate, Correlate::kDeadline);
  const EgressOptions& inventory = options.egress[1];
  EXPECT_EQ(inventory.listen, "0.0.0.0:15002");
  EXPECT_EQ(inventory.target, "xds:///inventory");
  EXPECT_NE(inventory.listen_credentials, nullptr);
  // What the control plane may replace.
  EXPECT_NE(inventory.credentials, nullptr);
  EXPECT_EQ(inventory.credentials_id, "xds");
  EXPECT_TRUE(inventory.allow_remote);
}

TEST_F(FullConfigTest, SetsTheRest) {
  const SidecarOptions options = Parsed(text_);
  EXPECT_EQ(options.connect_listen, "127.0.0.1:15000");
  EXPECT_EQ(options.mode, Mode::kDeadline);
  EXPECT_EQ(options.reserve.fixed, absl::Milliseconds(5));
  EXPECT_EQ(options.reserve.fraction, 0.05);
  EXPECT_EQ(options.reserve.cap, absl::Milliseconds(80));
  EXPECT_EQ(options.max_in_flight, 20'000);
  EXPECT_EQ(options.max_requests, 131'072u);
  EXPECT_EQ(options.tombstone_life, absl::Seconds(30));
  EXPECT_EQ(options.threads, 2);
  EXPECT_EQ(options.drain, absl::Seconds(20));
  EXPECT_EQ(options.admin.http_listen, "127.0.0.1:9901");
  EXPECT_THAT(options.admin.http_allowed_hosts, ElementsAre("shop.internal"));
  EXPECT_EQ(options.admin.grpc_listen, "0.0.0.0:9902");
  EXPECT_TRUE(options.admin.allow_remote);
  EXPECT_EQ(options.access_log.path, "/var/log/tether/access.log");
  EXPECT_EQ(options.access_log.sample, 0.01);
}

TEST_F(FullConfigTest, HasAnotherIdOnceAFileHasChanged) {
  const SidecarOptions before = Parsed(text_);
  EXPECT_EQ(Parsed(text_).ingress.credentials_id,
            before.ingress.credentials_id);
  EXPECT_EQ(Parsed(text_).egress[0].credentials_id,
            before.egress[0].credentials_id);
  folder_.Write("tls/sidecar.key", absl::StrCat(kKey, "other"));
  const SidecarOptions after = Parsed(text_);
  EXPECT_NE(after.ingress.credentials_id, before.ingress.credentials_id);
  EXPECT_NE(after.egress[0].credentials_id, before.egress[0].credentials_id);
  EXPECT_NE(after.egress[1].listen_credentials_id,
            before.egress[1].listen_credentials_id);
  EXPECT_EQ(after.ingress.app_credentials_id,
            before.ingress.app_credentials_id);
}

TEST(ConfigTest, ModesAndCorrelationsHaveTheirNames) {
  for (const auto& [name, mode] :
       std::vector<std::pair<const char*, Mode>>{{"OBSERVE", Mode::kObserve},
                                                 {"DEADLINE", Mode::kDeadline},
                                                 {"FULL", Mode::kFull}}) {
    EXPECT_EQ(Parsed(absl::StrCat(kIngress, "mode: ", name)).mode, mode);
  }
  for (const auto& [name, correlate] :
       std::vector<std::pair<const char*, Correlate>>{
           {"OFF", Correlate::kOff},
           {"DEADLINE", Correlate::kDeadline},
           {"FULL", Correlate::kFull}}) {
    const SidecarOptions options =
        Parsed(absl::StrCat(kIngress, "egress { listen: '[::1]:3' target: ",
                            "'a:4' correlate: ", name, " }"));
    ASSERT_THAT(options.egress, SizeIs(1));
    EXPECT_EQ(options.egress[0].correlate, correlate);
  }
  for (const auto& [name, when] :
       std::vector<std::pair<const char*, ReportOptions::When>>{
           {"NEVER", ReportOptions::When::kNever},
           {"WHEN_IT_MATTERS", ReportOptions::When::kWhenItMatters},
           {"ALWAYS", ReportOptions::When::kAlways}}) {
    EXPECT_EQ(Parsed(absl::StrCat(kIngress, "report { when: ", name, " }"))
                  .ingress.server.report.when,
              when);
  }
}

TEST(ConfigTest, AnAppThatCallsNobodyNeedsNoEgress) {
  EXPECT_EQ(Errors(kIngress), "");
}

TEST(ConfigErrorTest, WhatIsRequiredIsNamed) {
  for (const char* text : {"", " \n\n", "# nothing\n"}) {
    EXPECT_EQ(Errors(text), "f:1:1: ingress: required, but not set");
  }
  EXPECT_EQ(Errors("# a comment\n  ingress {}"),
            "f:2:3: ingress.listen: required, but not set\n"
            "f:2:3: ingress.app: required, but not set");
  EXPECT_EQ(ErrorsOf("egress { target: 'a:1' }\n"
                     "egress { listen: 'localhost:3' }"),
            "f:2:1: egress[0].listen: required, but not set\n"
            "f:3:1: egress[1].target: required, but not set");
  EXPECT_EQ(ErrorsOf("access_log {}"),
            "f:2:1: access_log.path: required, but not set");
  EXPECT_EQ(Errors("ingress {\n listen: '[::1]:1' app: 'a:1'\n"
                   " methods {}\n}"),
            "f:3:2: ingress.methods[0].pattern: required, but not set");
  EXPECT_EQ(ErrorsOf("egress {\n listen: '[::1]:1' target: 'a:1'\n"
                     " methods { pattern: '*' }\n}"),
            "f:4:2: egress[0].methods[0].correlate: required, but not set");
}

TEST(ConfigErrorTest, TheFormatIsChecked) {
  // The words are Protobuf's.
  EXPECT_THAT(ErrorsOf("mode: full"), StartsWith("f:2:11: "));
  EXPECT_THAT(ErrorsOf("mode: full"), HasSubstr("\"full\""));
  EXPECT_THAT(ErrorsOf("mode: full"),
              EndsWith("; write OBSERVE, DEADLINE or FULL"));
  EXPECT_THAT(ErrorsOf("egress { correlate: off }"),
              EndsWith("; write OFF, DEADLINE or FULL"));
  EXPECT_THAT(ErrorsOf("threads: 99999999999"),
              StartsWith("f:2:10: Integer out of range"));
  EXPECT_THAT(ErrorsOf("threads: 'x'"), StartsWith("f:2:10: Expected integer"));
  EXPECT_THAT(ErrorsOf("drain: 10"), StartsWith("f:2:8: Expected \"{\""));
  EXPECT_THAT(ErrorsOf("egress {\n listen: 'a\n}"), StartsWith("f:3:"));
  EXPECT_THAT(ErrorsOf("egress {\n listen: 'a'\n"), StartsWith("f:4:1: "));
  EXPECT_THAT(ErrorsOf("threads: 1\nthreads: 2"), StartsWith("f:3:"));
  EXPECT_THAT(ErrorsOf("ingress {}"), HasSubstr("\"ingress\""));
  // Only the first one, because the others follow from it.
  for (const char* text : {"mode: full", "egress {\n listen: 'a\n}", "}}}"}) {
    EXPECT_THAT(ErrorsOf(text), Not(HasSubstr("\n"))) << text;
  }
}

TEST(ConfigErrorTest, AllUnknownFieldsAreFound) {
  const std::string type = "Message type \"tether.v1.SidecarConfig\"";
  EXPECT_EQ(
      ErrorsOf("egres { listen: 'x' a { b: [1, 2] } }\n"
               "\t max_inflight: 5\n"
               "threads: 999\n"),
      absl::StrCat("f:2:1: ", type, " has no field named \"egres\"\n",
                   "f:3:10: ", type, " has no field named \"max_inflight\"\n",
                   "f:4:1: threads: 999 is not 0 to 256"));
  EXPECT_THAT(ErrorsOf("egress {\n  listen: '[::1]:1' target: 'a:1' tsl {}\n}"),
              StartsWith("f:3:35: Message type \"tether.v1.Egress\" "));
  EXPECT_THAT(ErrorsOf("threads: 1 [a.b] : 1"), HasSubstr("a.b"));
  EXPECT_THAT(ErrorsOf("12: 1"), StartsWith("f:2:1: "));
}

TEST(ConfigErrorTest, AddressesAreChecked) {
  EXPECT_EQ(Errors("ingress {\n  listen: 'localhost'\n  app: '[::1]'\n}"),
            "f:2:3: ingress.listen: \"localhost\" has no port; write "
            "host:port, [v6]:port or unix:/path\n"
            "f:3:3: ingress.app: \"[::1]\" has no port; write host:port, "
            "[v6]:port or unix:/path");
  EXPECT_EQ(ErrorsOf("egress { listen: '::1:80' target: 'http://a:1' }"),
            "f:2:10: egress[0].listen: \"::1:80\" needs brackets around an "
            "IPv6 address; write [v6]:port\n"
            "f:2:27: egress[0].target: \"http://a:1\" has a scheme that gRPC "
            "doesn't know");
  EXPECT_EQ(ErrorsOf("admin {\n http_listen: 'unix:/a'\n grpc_listen: ':1'\n"
                     " http_allowed_hosts: ['a', 'b:1']\n}"),
            "f:3:2: admin.http_listen: \"unix:/a\" has no IP address; write "
            "v4:port, [v6]:port or localhost:port\n"
            "f:4:2: admin.grpc_listen: \":1\" has no valid host; write "
            "host:port, [v6]:port or unix:/path\n"
            "f:5:2: admin.http_allowed_hosts[1]: \"b:1\" is not a name without "
            "port");
  EXPECT_EQ(
      ErrorsOf("admin { http_listen: 'a.example:1' allow_remote: true }"),
      "f:2:9: admin.http_listen: \"a.example:1\" has no IP address; write "
      "v4:port, [v6]:port or localhost:port");
}

TEST(ConfigTest, AnEdgeWithoutFieldsKeepsNothing) {
  const SidecarOptions options =
      Parsed("ingress { listen: '[::1]:1' app: 'a:1' edge {} }");
  ASSERT_TRUE(options.ingress.server.edge.has_value());
  EXPECT_FALSE(options.ingress.server.edge->keep_trace);
  EXPECT_FALSE(options.ingress.server.edge->keep_request_id);
  EXPECT_THAT(options.ingress.server.edge->keep_headers, IsEmpty());
}

TEST(ConfigErrorTest, HeadersHaveNames) {
  EXPECT_EQ(Errors("ingress { listen: '[::1]:1' app: 'a:1'\n"
                   "  edge { keep_headers: ['A.b-c_1', '', 'a b'] } }"),
            "f:2:10: ingress.edge.keep_headers[1]: \"\" is not the name of a "
            "header\n"
            "f:2:10: ingress.edge.keep_headers[2]: \"a b\" is not the name of "
            "a header");
}

TEST(ConfigErrorTest, ListenersDontOverlap) {
  EXPECT_EQ(
      Errors("ingress { listen: '0.0.0.0:80' app: 'unix:/app' }\n"
             "egress { listen: '127.0.0.1:80' target: 'a:1' }\n"
             "egress { listen: '127.0.0.1:81' target: 'b:1' }\n"
             "egress { listen: 'localhost:81' target: 'c:1' }\n"
             "egress { listen: 'unix:/a' target: 'd:1' }\n"
             "admin { http_listen: '[::1]:81' grpc_listen: 'unix:///a' }\n"),
      "f:2:10: egress[0].listen: \"127.0.0.1:80\" overlaps with "
      "ingress.listen, 0.0.0.0:80\n"
      "f:4:10: egress[2].listen: \"localhost:81\" overlaps with "
      "egress[1].listen, 127.0.0.1:81\n"
      "f:6:9: admin.http_listen: \"[::1]:81\" overlaps with "
      "egress[2].listen, localhost:81\n"
      "f:6:33: admin.grpc_listen: \"unix:///a\" overlaps with "
      "egress[3].listen, unix:/a");
  EXPECT_EQ(ErrorsOf("egress { listen: 'localhost:0' target: 'a:1' }\n"
                     "egress { listen: 'localhost:0' target: 'b:1' }\n"),
            "");
}

TEST(ConfigErrorTest, ThePortForConnectIsOfThisMachine) {
  const std::string egress = "egress { listen: 'unix:/a' target: 'a:1' }\n";
  EXPECT_EQ(ErrorsOf(egress + "connect_listen: '[::1]:15000'\n"), "");
  EXPECT_EQ(ErrorsOf("connect_listen: 'localhost:0'\n"),
            "f:2:1: connect_listen: there is no egress to connect to");
  EXPECT_EQ(ErrorsOf(egress + "connect_listen: '0.0.0.0:15000'\n"),
            "f:3:1: connect_listen: \"0.0.0.0:15000\" is open to other "
            "machines");
  EXPECT_THAT(ErrorsOf(egress + "connect_listen: 'me:15000'\n"),
              HasSubstr("\"me:15000\" has no IP address"));
  EXPECT_EQ(ErrorsOf("egress { listen: '127.0.0.1:80' target: 'a:1' }\n"
                     "connect_listen: '127.0.0.1:80'\n"),
            "f:3:1: connect_listen: \"127.0.0.1:80\" overlaps with "
            "egress[0].listen, 127.0.0.1:80");
}

TEST(ConfigErrorTest, TargetsDontLeadBack) {
  EXPECT_EQ(Errors("ingress { listen: '0.0.0.0:80' app: 'localhost:80' }\n"
                   "egress { listen: '127.0.0.1:81'\n"
                   "  target: 'ipv4:10.0.0.1:81,127.0.0.1:80' }\n"
                   "egress { listen: '127.0.0.1:82' target: 'a:80' }\n"
                   "egress { listen: '127.0.0.1:83'\n"
                   "  target: 'dns:///localhost:82' }\n"),
            "f:1:32: ingress.app: \"localhost:80\" leads back to "
            "ingress.listen, 0.0.0.0:80\n"
            "f:3:3: egress[0].target: \"ipv4:10.0.0.1:81,127.0.0.1:80\" leads "
            "back to ingress.listen, 0.0.0.0:80\n"
            "f:6:3: egress[2].target: \"dns:///localhost:82\" leads back to "
            "egress[1].listen, 127.0.0.1:82");
}

TEST(ConfigErrorTest, OtherMachinesReachOnlyTheIngressUnlessAllowed) {
  const std::string error =
      " is open to other machines, and allow_remote "
      "isn't set";
  EXPECT_EQ(ErrorsOf("egress { listen: '0.0.0.0:3' target: 'a:1' }\n"
                     "egress { listen: 'me:4' target: 'a:1' }\n"
                     "admin { http_listen: '[::]:5' grpc_listen: '10.0.0.1:6' "
                     "}\n"),
            absl::StrCat("f:2:10: egress[0].listen: \"0.0.0.0:3\"", error,
                         "\nf:3:10: egress[1].listen: \"me:4\"", error,
                         "\nf:4:9: admin.http_listen: \"[::]:5\"", error,
                         "\nf:4:31: admin.grpc_listen: \"10.0.0.1:6\"", error));
  EXPECT_EQ(ErrorsOf("egress { listen: '0.0.0.0:3' target: 'a:1' "
                     "allow_remote: true }\n"
                     "admin { http_listen: '[::]:5' grpc_listen: '10.0.0.1:6' "
                     "allow_remote: true }\n"),
            "");
}

TEST(ConfigErrorTest, NumbersAreInTheirRange) {
  EXPECT_EQ(
      ErrorsOf("max_in_flight: 0\nmax_requests: -1\nthreads: 257\n"
               "mode: 4\nreport { when: 9 max_headers_bytes: 7169 }\n"
               "egress { listen: '[::1]:9' target: 'a:1' correlate: -1 }"),
      "f:2:1: max_in_flight: 0 is not 1 to 1000000\n"
      "f:3:1: max_requests: -1 is not 1 to 10000000\n"
      "f:4:1: threads: 257 is not 0 to 256\n"
      "f:5:1: mode: 4 is not OBSERVE, DEADLINE or FULL\n"
      "f:6:10: report.when: 9 is not NEVER, WHEN_IT_MATTERS or ALWAYS\n"
      "f:6:18: report.max_headers_bytes: 7169 is not 0 to 7168\n"
      "f:7:42: egress[0].correlate: -1 is not OFF, DEADLINE or FULL");
  EXPECT_EQ(ErrorsOf("reserve { fraction: 1.01 }\n"
                     "report { min_fraction: -0.5 }\n"
                     "access_log { path: '-' sample: nan }\n"),
            "f:2:11: reserve.fraction: 1.01 is not 0 to 1\n"
            "f:3:10: report.min_fraction: -0.5 is not 0 to 1\n"
            "f:4:24: access_log.sample: nan is not 0 to 1");
  EXPECT_EQ(
      Errors("ingress { listen: '[::1]:1' app: 'a:1' shed_fraction: inf}"),
      "f:1:40: ingress.shed_fraction: inf is not 0 to 1");
  EXPECT_EQ(ErrorsOf("max_in_flight: 1 max_requests: 1 threads: 256 "
                     "reserve { fraction: 1 } report { min_fraction: 0 "
                     "max_headers_bytes: 0 }"),
            "");
}

TEST(ConfigErrorTest, DurationsAreInTheirRange) {
  EXPECT_EQ(ErrorsOf("drain { seconds: -1 }\n"
                     "tombstone_life { seconds: 3600 nanos: 1 }\n"
                     "reserve {\n fixed { nanos: -1 }\n"
                     " cap { nanos: 1000000000 } }\n"),
            "f:2:1: drain: a negative duration\n"
            "f:3:1: tombstone_life: more than 1h\n"
            "f:5:2: reserve.fixed: a negative duration\n"
            "f:6:2: reserve.cap: nanos are 0 to 999999999");
  EXPECT_EQ(
      Errors("ingress {\n listen: '[::1]:1' app: 'a:1'\n"
             " time { max_timeout { seconds: -1 } default_timeout {\n"
             "  nanos: -1 } }\n"
             " methods { pattern: '*' time { min_budget { seconds: -5 } } }\n"
             " methods { pattern: '/a/*'\n"
             "  time { max_timeout { seconds: 315576000001 } } }\n}"),
      "f:3:9: ingress.time.max_timeout: a negative duration\n"
      "f:3:37: ingress.time.default_timeout: a negative duration\n"
      "f:5:32: ingress.methods[0].time.min_budget: a negative duration\n"
      "f:7:10: ingress.methods[1].time.max_timeout: more than 87660000h");
  EXPECT_EQ(ErrorsOf("drain {} tombstone_life { seconds: 3600 }"), "");
}

TEST(ConfigErrorTest, TheReserveFitsItsCap) {
  EXPECT_EQ(ErrorsOf("reserve { fixed { nanos: 51000000 } }"),
            "f:2:11: reserve.fixed: 51ms is more than reserve.cap, 50ms");
  EXPECT_EQ(ErrorsOf("reserve { cap {} }"),
            "f:2:1: reserve.fixed: 3ms is more than reserve.cap, 0");
  EXPECT_EQ(ErrorsOf("reserve { fixed {} fraction: 0 cap {} }"), "");
}

TEST(ConfigErrorTest, PatternsAreValidAndOccurOnce) {
  EXPECT_EQ(Errors("ingress {\n listen: '[::1]:1' app: 'a:1'\n"
                   " methods { pattern: '/a/*' }\n"
                   " methods { pattern: '/a/b*' }\n"
                   " methods { pattern: '/a/*' }\n"
                   " methods { pattern: 'a.B/C' }\n}"),
            "f:4:12: ingress.methods[1].pattern: \"/a/b*\" is not a pattern; "
            "write /package.Service/Method, /package.Service/* or *\n"
            "f:5:12: ingress.methods[2].pattern: \"/a/*\" is also the pattern "
            "of ingress.methods[0]\n"
            "f:6:12: ingress.methods[3].pattern: \"a.B/C\" is not a pattern; "
            "write /package.Service/Method, /package.Service/* or *");
  // Each port has patterns of its own.
  EXPECT_EQ(
      ErrorsOf("egress { listen: '[::1]:3' target: 'a:1'\n"
               " methods { pattern: '*' correlate: OFF }\n"
               " methods { pattern: '*' correlate: OFF } }\n"
               "egress { listen: '[::1]:4' target: 'a:1'\n"
               " methods { pattern: '*' correlate: OFF } }\n"),
      "f:4:12: egress[0].methods[1].pattern: \"*\" is also the pattern of "
      "egress[0].methods[0]");
}

TEST(ConfigErrorTest, AListInBracketsHasThePlaceOfItsBegin) {
  EXPECT_EQ(ErrorsOf("egress [{ listen: '[::1]:3' target: 'a:1' },\n"
                     "  { listen: '[::1]:4' },\n"
                     "  { listen: 'x' target: 'a:1' }]"),
            "f:2:1: egress[1].target: required, but not set\n"
            "f:4:5: egress[2].listen: \"x\" has no port; write host:port, "
            "[v6]:port or unix:/path");
}

TEST(ConfigErrorTest, FilesOfTlsAreReadable) {
  const TempFolder files;
  const std::string& folder = files.path();
  const std::string cert = files.Write("cert", kCertificate);
  const std::string key = files.Write("key", kKey);
  const std::string big = files.Write("big", std::string((1 << 20) + 1, 'x'));
  const auto tls = [](std::string_view text) {
    return ErrorsOf(absl::StrCat("egress { listen: '[::1]:3' target: 'a:1'\n ",
                                 std::string(text), "}"));
  };
  EXPECT_EQ(
      tls(absl::StrCat("listen_tls { cert: '", cert, "' key: '", key, "' }")),
      "");
  EXPECT_EQ(tls("listen_tls {}"),
            "f:3:2: egress[0].listen_tls.cert: required, but not set\n"
            "f:3:2: egress[0].listen_tls.key: required, but not set");
  EXPECT_EQ(tls("tls { ca: '/none' }"),
            "f:3:8: egress[0].tls.ca: \"/none\" can't be read: No such file or "
            "directory");
  EXPECT_EQ(tls("tls { ca: 'a\\000b' }"),
            "f:3:8: egress[0].tls.ca: \"a\\x00\\x62\" can't be read: No such "
            "file or directory");
  EXPECT_EQ(tls(absl::StrCat("tls { ca: '", folder, "' }")),
            absl::StrCat("f:3:8: egress[0].tls.ca: \"", folder,
                         "\" can't be read: Is a directory"));
  EXPECT_EQ(tls(absl::StrCat("tls { ca: '", big, "' }")),
            absl::StrCat("f:3:8: egress[0].tls.ca: \"", big,
                         "\" has more than 1048576 bytes"));
  EXPECT_EQ(tls(absl::StrCat("tls { cert: '", key, "' key: '", cert, "' }")),
            absl::StrCat("f:3:8: egress[0].tls.cert: \"", key,
                         "\" has no certificate in PEM format\n"
                         "f:3:",
                         17 + key.size(), ": egress[0].tls.key: \"", cert,
                         "\" has no private key in PEM format"));
  EXPECT_EQ(tls(absl::StrCat("tls { key: '", key, "' }")),
            "f:3:8: egress[0].tls.key: there is no cert for this key");
  EXPECT_EQ(tls(absl::StrCat("tls { cert: '", cert, "' }")),
            "f:3:8: egress[0].tls.cert: there is no key for this certificate");
  EXPECT_EQ(tls("tls {}"), "");
  EXPECT_EQ(Errors("ingress { listen: '[::1]:1' app: 'a:1'\n"
                   "  tls { cert: 'x' key: 'y' client_ca: 'z' }\n"
                   "  app_tls { ca: 'a' } }"),
            "f:2:9: ingress.tls.cert: \"x\" can't be read: No such file or "
            "directory\n"
            "f:2:19: ingress.tls.key: \"y\" can't be read: No such file or "
            "directory\n"
            "f:2:28: ingress.tls.client_ca: \"z\" can't be read: No such file "
            "or directory\n"
            "f:3:13: ingress.app_tls.ca: \"a\" can't be read: No such file or "
            "directory");
}

TEST(ConfigErrorTest, AFileThatIsClosedToUsIsUnreadable) {
  const TempFolder folder;
  const std::string path = folder.Write("closed", kIngress);
  EXPECT_EQ(LoadConfig(path).status(), absl::OkStatus());
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  // Root may read everything.
  if (geteuid() != 0) {
    EXPECT_EQ(LoadConfig(path).status().message(),
              absl::StrCat(path, ": can't be read: Permission denied"));
  }
  std::remove(path.c_str());
  EXPECT_EQ(LoadConfig(path).status().message(),
            absl::StrCat(path, ": can't be read: No such file or directory"));
  EXPECT_EQ(LoadConfig(folder.path()).status().message(),
            absl::StrCat(folder.path(), ": can't be read: Is a directory"));
}

}  // namespace
}  // namespace tether::sidecar
