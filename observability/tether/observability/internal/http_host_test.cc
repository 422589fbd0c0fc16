// SPDX-License-Identifier: Apache-2.0
//
// Tests which addresses StatusPage listens on, and which Host headers it
// accepts.

#include "tether/observability/internal/http_host.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace tether::internal {
namespace {

std::string Parsed(const std::string& text) {
  const auto address = ParseListenAddress(text);
  return address.ok() ? address->WithPort(address->port) : "error";
}

TEST(HttpHostTest, AnAddressToListenOnHasAnIpAndAPort) {
  EXPECT_EQ(Parsed("127.0.0.1:0"), "127.0.0.1:0");
  EXPECT_EQ(Parsed("0.0.0.0:65535"), "0.0.0.0:65535");
  EXPECT_EQ(Parsed("[::1]:8080"), "[::1]:8080");
  EXPECT_EQ(Parsed("localhost:80"), "127.0.0.1:80");
}

TEST(HttpHostTest, OtherAddressesAreErrors) {
  for (const char* text : {"",
                           ":",
                           "8080",
                           ":8080",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1:+1",
                           "127.0.0.1: 1",
                           "127.0.0.1:8080s",
                           "127.0.0.1:80,0.0.0.0:80",
                           "127.0.0.1:80:80",
                           "::1:80",
                           "[::1]",
                           "[::1]80",
                           "[::1:80",
                           "[127.0.0.1]:80",
                           "[localhost]:80",
                           "example.com:80",
                           "1.2.3:80",
                           "+127.0.0.1:80",
                           "127.0.0.1:000000"}) {
    const auto address = ParseListenAddress(text);
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(HttpHostTest, IpAddressesAndLocalhostAreAllowedHosts) {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:8080", "10.1.2.3:80", "localhost",
        "LocalHost:8080", "[::1]", "[fe80::1]:8080"}) {
    EXPECT_TRUE(IsAllowedHost(host, {})) << host;
  }
}

TEST(HttpHostTest, NamesAreAllowedOnlyIfTheyAreListed) {
  const std::vector<std::string> allowed = {"orders.internal"};
  EXPECT_TRUE(IsAllowedHost("orders.internal", allowed));
  EXPECT_TRUE(IsAllowedHost("ORDERS.internal:8080", allowed));
  EXPECT_FALSE(IsAllowedHost("orders.internal", {}));
  for (const char* host :
       {"", "evil.example", "orders.internal.evil.example", "xorders.internal",
        "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil",
        "127.0.0.1:80:evil", "127.0.0.1:evil", "[::1", "[::1]evil", "[evil]",
        "::1", "2130706433", "127.1", " 127.0.0.1", "orders.internal."}) {
    EXPECT_FALSE(IsAllowedHost(host, allowed)) << host;
  }
}

TEST(HttpHostTest, AHostsNameHasNoPort) {
  EXPECT_TRUE(IsHostName("orders.internal"));
  EXPECT_TRUE(IsHostName("orders_1-a"));
  EXPECT_TRUE(IsHostName(std::string(253, 'a')));
  for (const std::string& text :
       {std::string(), std::string("a:80"), std::string("http://a"),
        std::string("*"), std::string("a b"), std::string(254, 'a'),
        std::string("a\0b", 3)}) {
    EXPECT_FALSE(IsHostName(text)) << text;
  }
}

}  // namespace
}  // namespace tether::internal
