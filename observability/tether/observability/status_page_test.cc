// SPDX-License-Identifier: Apache-2.0
//
// Tests StatusPage over HTTP: its paths, what it refuses, hostile names and
// clients, its start and its end. status_page_browser_test.py tests the pages.

#include "tether/observability/status_page.h"

#include <civetweb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tether/end_reason.h"
#include "tether/grpc/inspect.h"
#include "tether/observability/snapshot.h"
#include "tether/observability/testing/http_client.h"
#include "tether/v1/inspector.pb.h"

namespace tether {
namespace {

using absl::StatusCode;
using google::protobuf::util::JsonStringToMessage;
using google::protobuf::util::MessageDifferencer;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::Http;
using testing::HttpConnection;
using testing::HttpReply;
using ::testing::Not;
using ::testing::StartsWith;

using SteadyClock = std::chrono::steady_clock;

std::unique_ptr<StatusPage> StartPage(StatusPageOptions options = {}) {
  auto page = StatusPage::Start(std::move(options));
  EXPECT_TRUE(page.ok()) << page.status();
  return page.ok() ? *std::move(page) : nullptr;
}

v1::Snapshot SomeSnapshot() {
  v1::Snapshot snapshot;
  snapshot.set_process("orders");
  snapshot.set_pid(42);
  snapshot.set_requests_in_flight(2);
  snapshot.set_calls_in_flight(1);
  v1::InFlightRequest& first = *snapshot.add_requests();
  first.set_method("/shop.v1.Orders/GetOrder");
  first.set_peer("ipv4:127.0.0.1:5");
  first.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
  first.set_style(v1::API_STYLE_SYNC);
  first.set_age_us(1'234'567);
  first.set_time_left_us(-5);
  first.set_deadline_owner(v1::DEADLINE_OWNER_CALLER);
  first.set_ended_by(v1::END_REASON_CALLER_LEFT);
  first.set_ended_ago_us(0);
  v1::InFlightCall& call = *first.add_waits_for();
  call.set_method("/shop.v1.Inventory/GetStock");
  call.set_time_left_us(0);
  snapshot.add_requests()->set_method("/shop.v1.Orders/List");
  return snapshot;
}

// A reply as large as the largest page: some MB.
std::string LargeText() { return std::string(size_t{32} << 20, 'x'); }

// ---- What it answers -------------------------------------------------------

TEST(StatusPageTest, RequestsJsonIsTheSnapshot) {
  StatusPageOptions options;
  options.snapshot = [](const v1::ListRequest&) { return SomeSnapshot(); };
  const auto page = StartPage(std::move(options));
  const HttpReply reply = Http(page->port(), "GET", "/requests.json");
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  v1::Snapshot parsed;
  ASSERT_TRUE(JsonStringToMessage(reply.body, &parsed).ok()) << reply.body;
  EXPECT_TRUE(MessageDifferencer::Equals(parsed, SomeSnapshot()));
}

TEST(StatusPageTest, TheQueryIsTheListRequest) {
  v1::ListRequest seen;
  StatusPageOptions options;
  options.snapshot = [&](const v1::ListRequest& request) {
    seen = request;
    return v1::Snapshot();
  };
  const auto page = StartPage(std::move(options));
  EXPECT_EQ(Http(page->port(), "GET", "/requests.json").code, 200);
  EXPECT_TRUE(MessageDifferencer::Equals(seen, v1::ListRequest()));

  EXPECT_EQ(Http(page->port(), "GET",
                 "/requests.json?method=%2Fshop%2Ev1+x&max=7&other=1&trace="
                 "4BF92F3577B34DA6A3CE929D0E0E4736")
                .code,
            200);
  EXPECT_EQ(seen.method_contains(), "/shop.v1 x");
  EXPECT_EQ(seen.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(seen.max_entries(), 7);
}

TEST(StatusPageTest, AMalformedQueryIsAnErrorThatSaysWhy) {
  const auto page = StartPage();
  for (const char* query :
       {"max=x", "max=-1", "max=99999999999", "max=1.5", "trace=1",
        "trace=4bf92f3577b34da6a3ce929d0e0e473g", "trace=%00"}) {
    const HttpReply reply =
        Http(page->port(), "GET", absl::StrCat("/requests.json?", query));
    EXPECT_EQ(reply.code, 400) << query;
    EXPECT_THAT(reply.body, HasSubstr(" must be "));
  }
  for (const char* query : {"", "&&&", "=", "method", "method=%zz", "max=&"}) {
    EXPECT_EQ(
        Http(page->port(), "GET", absl::StrCat("/requests.json?", query)).code,
        200)
        << query;
  }
}

TEST(StatusPageTest, WithoutSourcesItShowsThisProcess) {
  const auto page = StartPage();
  v1::Snapshot parsed;
  const HttpReply reply = Http(page->port(), "GET", "/requests.json");
  ASSERT_TRUE(JsonStringToMessage(reply.body, &parsed).ok()) << reply.body;
  EXPECT_EQ(parsed.process(), ProcessName());
  EXPECT_GT(parsed.pid(), 0);

  v1::PropagationHealth health;
  const HttpReply second =
      Http(page->port(), "GET", "/health-of-propagation.json");
  EXPECT_EQ(second.code, 200);
  EXPECT_TRUE(JsonStringToMessage(second.body, &health).ok()) << second.body;
}

TEST(StatusPageTest, HealthOfPropagationJsonIsTheMessage) {
  v1::PropagationHealth expected;
  expected.set_counted_us(int64_t{1} << 60);
  v1::Finding& finding = *expected.add_findings();
  finding.set_kind(v1::Finding::KIND_DEAF_HANDLER);
  finding.set_what("It does not stop.");
  StatusPageOptions options;
  options.health = [&] { return expected; };
  const auto page = StartPage(std::move(options));
  v1::PropagationHealth parsed;
  const HttpReply reply =
      Http(page->port(), "GET", "/health-of-propagation.json");
  ASSERT_TRUE(JsonStringToMessage(reply.body, &parsed).ok()) << reply.body;
  EXPECT_TRUE(MessageDifferencer::Equals(parsed, expected));
}

TEST(StatusPageTest, MetricsAreTheFunctionsText) {
  StatusPageOptions options;
  options.metrics = [] { return "# HELP a b\na 1\n"; };
  const auto page = StartPage(std::move(options));
  const HttpReply reply = Http(page->port(), "GET", "/metrics");
  EXPECT_EQ(reply.code, 200);
  EXPECT_THAT(reply.headers.at("content-type"),
              StartsWith("text/plain; version=0.0.4"));
  EXPECT_EQ(reply.body, "# HELP a b\na 1\n");

  const HttpReply without = Http(StartPage()->port(), "GET", "/metrics");
  EXPECT_EQ(without.code, 404);
  EXPECT_THAT(without.body, HasSubstr("StatusPageOptions::metrics"));
}

TEST(StatusPageTest, PagesUseOnlyTheirOwnStyleAndScript) {
  const auto page = StartPage();
  std::string nonces;
  for (const char* path : {"/", "/health-of-propagation", "/?filter=x"}) {
    const HttpReply reply = Http(page->port(), "GET", path);
    EXPECT_EQ(reply.code, 200);
    EXPECT_EQ(reply.headers.at("content-type"), "text/html; charset=utf-8");
    const std::string& policy = reply.headers.at("content-security-policy");
    EXPECT_THAT(policy, StartsWith("default-src 'none';"));
    EXPECT_THAT(policy, HasSubstr("connect-src 'self'"));
    EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
    EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
    const size_t at = policy.find("script-src 'nonce-");
    ASSERT_NE(at, std::string::npos);
    const std::string nonce = policy.substr(at + 18, 32);
    EXPECT_THAT(nonces, Not(HasSubstr(nonce))) << "used twice";
    nonces += nonce + " ";
    EXPECT_THAT(reply.body,
                HasSubstr(absl::StrCat("<script nonce=\"", nonce, "\">")));
    EXPECT_THAT(reply.body, EndsWith("</html>\n"));
    for (const char* part : {"http:", "https:", "//cdn", "src=", "innerHTML",
                             "insertAdjacentHTML", "eval(", "document.write"}) {
      EXPECT_THAT(reply.body, Not(HasSubstr(part)));
    }
  }
}

TEST(StatusPageTest, ThePagesHaveWordsForEachValueOfTheirEnums) {
  const auto page = StartPage();
  std::string text = Http(page->port(), "GET", "/").body;
  text += Http(page->port(), "GET", "/health-of-propagation").body;
  for (const auto* type :
       {v1::ApiStyle_descriptor(), v1::DeadlineOwner_descriptor(),
        v1::EndReason_descriptor(), v1::Finding::Kind_descriptor()}) {
    for (int i = 1; i < type->value_count(); ++i) {  // JSON omits the first one
      const std::string key = absl::StrCat(type->value(i)->name(), ": ");
      EXPECT_TRUE(absl::StrContains(text, key)) << key;
    }
  }
}

TEST(StatusPageTest, EveryAnswerForbidsWhatBrowsersDoByDefault) {
  const auto page = StartPage();
  for (const char* target : {"/", "/requests.json", "/metrics", "/nothing",
                             "/requests.json?max=x"}) {
    const auto headers = Http(page->port(), "GET", target).headers;
    EXPECT_THAT(headers.at("content-security-policy"),
                HasSubstr("default-src 'none'"));
    EXPECT_EQ(headers.at("x-content-type-options"), "nosniff");
    EXPECT_EQ(headers.at("x-frame-options"), "DENY");
    EXPECT_EQ(headers.at("referrer-policy"), "no-referrer");
    EXPECT_EQ(headers.at("cross-origin-resource-policy"), "same-origin");
    EXPECT_EQ(headers.at("cache-control"), "no-store");
    EXPECT_EQ(headers.count("access-control-allow-origin"), 0U);
  }
}

TEST(StatusPageTest, HeadIsGetWithoutABody) {
  StatusPageOptions options;
  options.metrics = [] { return "a 1\n"; };
  const auto page = StartPage(std::move(options));
  const HttpReply reply = Http(page->port(), "HEAD", "/metrics");
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.headers.at("content-length"), "4");
  EXPECT_EQ(reply.body, "");
}

// ---- What it refuses -------------------------------------------------------

TEST(StatusPageTest, OtherMethodsAreRefused) {
  const auto page = StartPage();
  for (const char* method :
       {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "MKCOL"}) {
    const HttpReply reply = Http(page->port(), method, "/");
    EXPECT_EQ(reply.code, 405) << method;
    EXPECT_EQ(reply.headers.at("allow"), "GET, HEAD");
  }
  EXPECT_EQ(Http(page->port(), "OPTIONS", "/", "127.0.0.1",
                 "Origin: http://evil.example\r\n"
                 "Access-Control-Request-Method: GET\r\n")
                .code,
            405);
  EXPECT_EQ(Http(page->port(), "BREW", "/").code, 400);
}

TEST(StatusPageTest, ItServesNoFiles) {
  const auto page = StartPage();
  for (const char* target :
       {"/etc/passwd", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/proc/self/environ", "/index.html", "/requests.json/", "//", "/.",
        "/x.cgi", "/x.shtml", "/x.php", "/favicon.ico", "/Metrics",
        "/x%00/../metrics"}) {
    const int code = Http(page->port(), "GET", target).code;
    const bool is_root = target == std::string("//") ||
                         target == std::string("/.");  // as civetweb cleans it
    EXPECT_TRUE(code == 404 || (is_root && code == 200)) << target << code;
  }
  const HttpReply upgrade =
      Http(page->port(), "GET", "/ws", "127.0.0.1",
           "Upgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
           "Sec-WebSocket-Version: 13\r\n");
  EXPECT_EQ(upgrade.code, 404);
}

TEST(StatusPageTest, RequestsForAnotherSitesNameAreRefused) {
  StatusPageOptions options;
  options.allowed_hosts = {"orders.internal"};
  options.snapshot = [](const v1::ListRequest&) { return SomeSnapshot(); };
  const auto page = StartPage(std::move(options));
  const auto code = [&](const char* host) {
    return Http(page->port(), "GET", "/requests.json", host).code;
  };
  for (const char* host : {"127.0.0.1", "localhost", "[::1]:80", "10.0.0.1:5",
                           "orders.internal", "ORDERS.INTERNAL:8080"}) {
    EXPECT_EQ(code(host), 200) << host;
  }
  for (const char* host :
       {"evil.example", "evil.example:80", "", "orders.internal.evil.example",
        "127.0.0.1.evil.example"}) {
    EXPECT_EQ(code(host), 403) << host;
  }
  HttpConnection without_host(page->port());
  without_host.Send("GET /requests.json HTTP/1.0\r\n\r\n");
  const HttpReply reply = without_host.ReadReply();
  EXPECT_EQ(reply.code, 403);
  EXPECT_THAT(reply.body, HasSubstr("allowed_hosts"));
}

TEST(StatusPageTest, LargeAndBrokenRequestsAreRefused) {
  const auto page = StartPage();
  const std::string end = " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  std::string many_headers;
  for (int i = 0; i < 5000; ++i) absl::StrAppend(&many_headers, "A: b\r\n");
  for (const std::string& text :
       {absl::StrCat("GET /", std::string(20'000, 'a'), end, "\r\n"),
        absl::StrCat("GET /?", std::string(20'000, 'a'), end, "\r\n"),
        absl::StrCat("GET /", end, many_headers, "\r\n"),
        absl::StrCat("GET /", end, "A: ", std::string(1 << 20, 'a'),
                     "\r\n\r\n"),
        std::string("\0\xff\x01 garbage\r\n\r\n", 15), std::string("\r\n\r\n"),
        std::string("GET\r\n\r\n"), absl::StrCat("GET http://evil/", end),
        absl::StrCat("OPTIONS *", end, "\r\n"),
        absl::StrCat("CONNECT evil:80", end, "\r\n")}) {
    HttpConnection connection(page->port());
    connection.Send(text);
    if (absl::StartsWith(text, "GET http:")) connection.Send("\r\n");
    const HttpReply reply = connection.ReadReply();
    EXPECT_TRUE(reply.code == 400 || reply.code == 0)
        << reply.code << " " << text.substr(0, 40);
  }
  // Up to the limit, they are served.
  EXPECT_EQ(Http(page->port(), "GET", "/?" + std::string(7'000, 'a')).code,
            200);
}

// ---- Hostile names ---------------------------------------------------------

TEST(StatusPageTest, HostileNamesArriveAsText) {
  InFlight in_flight;
  in_flight.requests_in_flight = 1;
  InFlightRequest& request = in_flight.requests.emplace_back();
  request.method = "/<script>alert(1)</script>\"'&/</script><img src=x>";
  request.peer = std::string("\xff\xfe\xc3(\x01\r\n\0\x1b[31m", 13);
  request.ended_by = EndReason::kCallerLeft;
  StatusPageOptions options;
  options.snapshot = [&](const v1::ListRequest&) {
    return ToSnapshot(in_flight);
  };
  const auto page = StartPage(std::move(options));
  const HttpReply reply = Http(page->port(), "GET", "/requests.json");
  EXPECT_THAT(reply.body, Not(HasSubstr("<")));
  EXPECT_THAT(reply.body, Not(HasSubstr(">")));
  for (const char c : reply.body) EXPECT_TRUE(c >= ' ' && c <= '~') << int{c};
  v1::Snapshot parsed;
  ASSERT_TRUE(JsonStringToMessage(reply.body, &parsed).ok()) << reply.body;
  EXPECT_EQ(parsed.requests(0).method(), request.method);
  EXPECT_EQ(parsed.requests(0).peer(),
            std::string(3, '?') + "(" + std::string(5, '?') + "[31m");
}

// A source of the application's own may not clean its texts.
TEST(StatusPageTest, TextsThatAreNotUtf8DoNotBreakTheJson) {
  v1::Snapshot snapshot = SomeSnapshot();
  snapshot.mutable_requests(0)->set_method("/a\xff\xc3(\x01\"</script>");
  StatusPageOptions options;
  options.snapshot = [&](const v1::ListRequest&) { return snapshot; };
  const auto page = StartPage(std::move(options));
  const HttpReply reply = Http(page->port(), "GET", "/requests.json");
  EXPECT_EQ(reply.code, 200);
  EXPECT_THAT(reply.body, Not(HasSubstr("</script>")));
  v1::Snapshot parsed;
  ASSERT_TRUE(JsonStringToMessage(reply.body, &parsed).ok()) << reply.body;
  EXPECT_EQ(parsed.requests_size(), 2);
  EXPECT_THAT(parsed.requests(0).method(), StartsWith("/a"));
}

// ---- Hostile clients -------------------------------------------------------

TEST(StatusPageTest, SlowSendersAreCutOff) {
  StatusPageOptions options;
  options.max_connections = 1;
  options.client_timeout = absl::Milliseconds(300);
  const auto page = StartPage(std::move(options));

  HttpConnection silent(page->port());
  // It waits until the silent client has been disconnected.
  EXPECT_EQ(Http(page->port(), "GET", "/").code, 200);

  // This one sends a byte now and then, and never comes to an end.
  HttpConnection slow(page->port());
  const auto begin = SteadyClock::now();
  while (slow.Send("G") && slow.Receive(1, absl::Milliseconds(20)).empty()) {
    ASSERT_LT(SteadyClock::now() - begin, std::chrono::seconds(60));
  }
  EXPECT_EQ(Http(page->port(), "GET", "/").code, 200);
}

TEST(StatusPageTest, MoreClientsThanThreadsWait) {
  std::atomic<int> at_once = 0, most = 0;
  StatusPageOptions options;
  options.max_connections = 2;
  options.metrics = [&] {
    const int now = ++at_once;
    int seen = most;
    while (seen < now && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    --at_once;
    return "a 1\n";
  };
  const auto page = StartPage(std::move(options));
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([port = page->port()] {
      EXPECT_EQ(Http(port, "GET", "/metrics").code, 200);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GE(most, 1);
  EXPECT_LE(most, 2);
}

TEST(StatusPageTest, NoBodyIsRead) {
  StatusPageOptions options;
  options.max_connections = 1;
  options.client_timeout = absl::Seconds(60);
  const auto page = StartPage(std::move(options));
  const auto begin = SteadyClock::now();
  for (const char* headers :
       {"Content-Length: 1000000000000\r\n", "Transfer-Encoding: chunked\r\n",
        "Content-Length: -1\r\n"}) {
    HttpConnection connection(page->port());
    connection.Send(absl::StrCat("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
                                 headers, "\r\nfirst bytes"));
    EXPECT_NE(connection.ReadReply().code, 200);
  }
  EXPECT_LT(SteadyClock::now() - begin, std::chrono::seconds(30));
}

TEST(StatusPageTest, SlowReadersAreCutOff) {
  StatusPageOptions options;
  options.max_connections = 1;
  options.client_timeout = absl::Milliseconds(300);
  options.metrics = LargeText;
  const auto page = StartPage(std::move(options));
  // Reads on and on, so that civetweb's own timeout doesn't cut it off.
  HttpConnection slow(page->port());
  slow.Send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  size_t received = 0;
  for (std::string part;
       !(part = slow.Receive(100'000, absl::Seconds(60))).empty();) {
    received += part.size();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LT(received, LargeText().size());
  EXPECT_EQ(Http(page->port(), "GET", "/").code, 200);
}

TEST(StatusPageTest, ClientsThatLeaveDoNotEndTheProcess) {
  StatusPageOptions options;
  options.metrics = LargeText;
  struct sigaction fatal = {};
  fatal.sa_handler = SIG_DFL;
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGPIPE, &fatal, &before), 0);
  {
    const auto page = StartPage(std::move(options));
    for (int i = 0; i < 20; ++i) {
      HttpConnection leaves(page->port());
      leaves.Send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
      leaves.Receive(1, absl::Seconds(60));
    }
    EXPECT_EQ(Http(page->port(), "GET", "/").code, 200);
    struct sigaction now;
    ASSERT_EQ(sigaction(SIGPIPE, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, SIG_DFL) << "civetweb has changed it";
  }
  ASSERT_EQ(sigaction(SIGPIPE, &before, nullptr), 0);
}

TEST(StatusPageTest, ASourceThatThrowsIsAnError) {
  StatusPageOptions options;
  options.metrics = []() -> std::string { throw std::runtime_error("secret"); };
  const auto page = StartPage(std::move(options));
  const HttpReply reply = Http(page->port(), "GET", "/metrics");
  EXPECT_EQ(reply.code, 500);
  EXPECT_THAT(reply.body, Not(HasSubstr("secret")));
  EXPECT_EQ(Http(page->port(), "GET", "/").code, 200);
}

// ---- Start and end ---------------------------------------------------------

TEST(StatusPageTest, ItListensOnLoopbackUnlessToldOtherwise) {
  const auto page = StartPage();
  EXPECT_GT(page->port(), 0);
  EXPECT_EQ(page->address(), absl::StrCat("127.0.0.1:", page->port()));
}

TEST(StatusPageTest, MalformedOptionsAreInvalid) {
  const auto code = [](StatusPageOptions options) {
    return StatusPage::Start(std::move(options)).status().code();
  };
  for (const char* listen : {"", "8080", "0.0.0.0", "somewhere:80", "1.2.3.4:x",
                             "127.0.0.1:0,0.0.0.0:0", "127.0.0.1:80s"}) {
    StatusPageOptions options;
    options.listen = listen;
    EXPECT_EQ(code(options), StatusCode::kInvalidArgument) << listen;
  }
  for (const int connections : {-1, 0, 65}) {
    StatusPageOptions options;
    options.max_connections = connections;
    EXPECT_EQ(code(options), StatusCode::kInvalidArgument) << connections;
  }
  for (const absl::Duration timeout :
       {absl::ZeroDuration(), -absl::Seconds(1), absl::InfiniteDuration()}) {
    StatusPageOptions options;
    options.client_timeout = timeout;
    EXPECT_EQ(code(options), StatusCode::kInvalidArgument) << timeout;
  }
  StatusPageOptions options;
  options.allowed_hosts = {"orders.internal:80"};
  EXPECT_EQ(code(options), StatusCode::kInvalidArgument);
}

TEST(StatusPageTest, APortInUseIsAnErrorThatSaysSo) {
  const auto page = StartPage();
  StatusPageOptions options;
  options.listen = page->address();
  const auto second = StatusPage::Start(std::move(options));
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(second.status().ToString(), HasSubstr(page->address()));
  EXPECT_THAT(second.status().ToString(), HasSubstr("Address already in use"));
}

TEST(StatusPageTest, WhetherIpV6WorksDependsOnCivetweb) {
  StatusPageOptions options;
  options.listen = "[::1]:0";
  const auto page = StatusPage::Start(std::move(options));
  if (mg_check_feature(MG_FEATURES_IPV6) == 0) {
    EXPECT_EQ(page.status().code(), StatusCode::kUnimplemented);
    EXPECT_THAT(page.status().ToString(), HasSubstr("IPv6"));
  } else if (page.ok()) {  // the machine may lack it
    EXPECT_EQ((*page)->address(), absl::StrCat("[::1]:", (*page)->port()));
  }
}

TEST(StatusPageTest, StoppingWaitsForRequestsThatRun) {
  absl::Notification started, go_on, answered, stopped;
  StatusPageOptions options;
  options.metrics = [&] {
    started.Notify();
    go_on.WaitForNotification();
    answered.Notify();
    return "a 1\n";
  };
  auto page = StartPage(std::move(options));
  std::thread client([port = page->port()] { Http(port, "GET", "/metrics"); });
  started.WaitForNotification();
  std::thread stopper([&] {
    page.reset();
    EXPECT_TRUE(answered.HasBeenNotified());
    stopped.Notify();
  });
  EXPECT_FALSE(stopped.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  go_on.Notify();
  stopper.join();
  client.join();
}

TEST(StatusPageTest, AStoppedPageFreesItsPort) {
  auto page = StartPage();
  StatusPageOptions options;
  options.listen = page->address();
  HttpConnection silent(page->port());
  const int port = page->port();
  page.reset();
  EXPECT_EQ(Http(port, "GET", "/").code, 0);
  EXPECT_EQ(silent.ReadReply().code, 0);
  page = StartPage(std::move(options));
  EXPECT_EQ(Http(port, "GET", "/").code, 200);
}

TEST(StatusPageTest, PagesOfOneProcessAreIndependent) {
  StatusPageOptions one, two;
  one.metrics = [] { return "one"; };
  two.metrics = [] { return "two"; };
  auto first = StartPage(std::move(one));
  const auto second = StartPage(std::move(two));
  EXPECT_EQ(Http(first->port(), "GET", "/metrics").body, "one");
  EXPECT_EQ(Http(second->port(), "GET", "/metrics").body, "two");
  first.reset();
  EXPECT_EQ(Http(second->port(), "GET", "/metrics").body, "two");
}

}  // namespace
}  // namespace tether
