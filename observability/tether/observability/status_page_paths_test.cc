// SPDX-License-Identifier: Apache-2.0
//
// Tests paths that a program adds to its status page.

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tether/observability/status_page.h"
#include "tether/observability/testing/http_client.h"

namespace tether {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testing::Http;
using testing::HttpReply;
using ::testing::StartsWith;

TEST(StatusPagePathsTest, MorePathsAreAnsweredByTheProgram) {
  StatusPageOptions options;
  std::atomic<bool> healthy{true};
  options.more_paths["/healthz"] = [&]() -> StatusPageAnswer {
    if (healthy) return {200, kStatusPageText, "ok\n"};
    return {503, "application/json", R"({"why": "<script>"})"};
  };
  options.more_paths["/throws"] = []() -> StatusPageAnswer {
    throw std::runtime_error("no");
  };
  const auto page = *StatusPage::Start(std::move(options));
  HttpReply reply = Http(page->port(), "GET", "/healthz?x=1");
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(reply.body, "ok\n");
  EXPECT_EQ(Http(page->port(), "POST", "/healthz").code, 405);
  EXPECT_EQ(Http(page->port(), "GET", "/healthz", "evil.example").code, 403);
  EXPECT_EQ(Http(page->port(), "HEAD", "/healthz").body, "");

  healthy = false;
  reply = Http(page->port(), "GET", "/healthz");
  EXPECT_EQ(reply.code, 503);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_THAT(reply.headers.at("content-security-policy"),
              StartsWith("default-src 'none';"));
  EXPECT_EQ(reply.body, R"({"why": "<script>"})");
  EXPECT_EQ(Http(page->port(), "GET", "/throws").code, 500);

  reply = Http(page->port(), "GET", "/healthz/x");
  EXPECT_EQ(reply.code, 404);
  EXPECT_THAT(reply.body, HasSubstr("/metrics, /healthz, /throws."));
}

TEST(StatusPagePathsTest, MorePathsAreNoneOfThePages) {
  for (const char* path :
       {"", "healthz", "/", "/metrics", "/requests.json",
        "/health-of-propagation", "/health-of-propagation.json"}) {
    StatusPageOptions options;
    options.more_paths[path] = [] { return StatusPageAnswer(); };
    EXPECT_EQ(StatusPage::Start(std::move(options)).status().code(),
              StatusCode::kInvalidArgument)
        << path;
  }
  StatusPageOptions options;
  options.more_paths["/healthz"] = nullptr;
  EXPECT_EQ(StatusPage::Start(std::move(options)).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tether
