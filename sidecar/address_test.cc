// SPDX-License-Identifier: Apache-2.0
//
// Tests which addresses, targets and patterns of methods a sidecar accepts, and
// which addresses are the same.

#include "sidecar/address.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tether::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kForms = "write host:port, [v6]:port or unix:/path";

std::string Canonical(std::string_view text) {
  const auto address = ParseAddress(text);
  return address.ok() ? address->ToString()
                      : std::string(address.status().message());
}

bool Overlap(std::string_view a, std::string_view b) {
  const bool overlap = Overlap(*ParseAddress(a), *ParseAddress(b));
  EXPECT_EQ(Overlap(*ParseAddress(b), *ParseAddress(a)), overlap);
  return overlap;
}

bool LeadsTo(std::string_view target, std::string_view listen) {
  const std::vector<Address> addresses = AddressesOf(target);
  EXPECT_EQ(addresses.size(), 1u) << target;
  return LeadsTo(addresses.at(0), *ParseAddress(listen));
}

std::string TargetError(std::string_view target) {
  return std::string(CheckTarget(target).message());
}

TEST(AddressTest, HasOneFormForEachHost) {
  EXPECT_EQ(Canonical("127.0.0.1:0"), "127.0.0.1:0");
  EXPECT_EQ(Canonical("LocalHost:65535"), "localhost:65535");
  EXPECT_EQ(Canonical("a-b_c.example:080"), "a-b_c.example:80");
  EXPECT_EQ(Canonical("[0:0::0:1]:80"), "[::1]:80");
  EXPECT_EQ(Canonical("[FE80::1%eth0]:80"), "[fe80::1%eth0]:80");
  EXPECT_EQ(Canonical("[::ffff:127.0.0.1]:80"), "127.0.0.1:80");
  EXPECT_EQ(Canonical("unix:/run/a.sock"), "unix:/run/a.sock");
  EXPECT_EQ(Canonical("unix:///run/a.sock"), "unix:/run/a.sock");
}

TEST(AddressTest, ABadOneSaysWhatIsWrong) {
  const std::string no_host = std::string("has no valid host; ") + kForms;
  const std::string no_port = std::string("has no port; ") + kForms;
  for (const auto& [text, error] :
       std::vector<std::pair<const char*, std::string>>{
           {"localhost", no_port},
           {"localhost8080", no_port},
           {"[::1]", no_port},
           {"[::1]80", no_port},
           {":80", no_host},
           {"*:80", no_host},
           {"0:80", no_host},
           {"127.1:80", no_host},
           {"256.0.0.1:80", no_host},
           {"a/b:80", no_host},
           {"[127.0.0.1]:80", no_host},
           {"[fe80::1%]:80", no_host},
           {"[::1:80", std::string("has no ]; ") + kForms},
           {"::1:80", "needs brackets around an IPv6 address; write [v6]:port"},
           {"a:", "has a port that isn't 0 to 65535"},
           {"a:-1", "has a port that isn't 0 to 65535"},
           {"a:+1", "has a port that isn't 0 to 65535"},
           {"a:65536", "has a port that isn't 0 to 65535"},
           {"a:000080", "has a port that isn't 0 to 65535"},
           {"a:http", "has a port that isn't 0 to 65535"},
           {"a: 80", "has characters that aren't printable ASCII"},
           {"\xc3\xa4:80", "has characters that aren't printable ASCII"},
           {"unix:", "has no absolute path of a socket; write unix:/path"},
           {"unix:a", "has no absolute path of a socket; write unix:/path"},
           {"unix:/run/", "has no absolute path of a socket; write unix:/path"},
       }) {
    EXPECT_EQ(Canonical(text), error) << text;
  }
  EXPECT_EQ(Canonical("unix:/" + std::string(106, 'a')).size(), 112u);
  EXPECT_EQ(Canonical("unix:/" + std::string(107, 'a')),
            "has a path of more than 107 bytes");
  EXPECT_EQ(Canonical(std::string(255, 'a') + ":1").size(), 257u);
  EXPECT_EQ(Canonical(std::string(256, 'a') + ":1"), no_host);
}

TEST(AddressTest, IsLocalIfOnlyThisMachineReachesIt) {
  for (const char* text : {"127.0.0.1:1", "127.8.9.10:1", "localhost:1",
                           "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/a"}) {
    EXPECT_TRUE(IsLocal(*ParseAddress(text))) << text;
  }
  for (const char* text :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "orders:1", "127.example:1",
        "localhost.example:1", "[::ffff:10.0.0.1]:1", "[fe80::1%lo]:1"}) {
    EXPECT_FALSE(IsLocal(*ParseAddress(text))) << text;
  }
}

TEST(AddressTest, ListenersOverlapOnOnePortOfOneHost) {
  EXPECT_TRUE(Overlap("127.0.0.1:80", "127.0.0.1:80"));
  EXPECT_TRUE(Overlap("127.0.0.1:80", "0.0.0.0:80"));
  EXPECT_TRUE(Overlap("127.0.0.1:80", "[::]:80"));
  EXPECT_TRUE(Overlap("[::1]:80", "0.0.0.0:80"));
  EXPECT_TRUE(Overlap("localhost:80", "127.0.0.1:80"));
  EXPECT_TRUE(Overlap("localhost:80", "[::1]:80"));
  EXPECT_TRUE(Overlap("orders:80", "ORDERS:80"));
  EXPECT_TRUE(Overlap("unix:/a", "unix:///a"));

  EXPECT_FALSE(Overlap("127.0.0.1:80", "127.0.0.1:81"));
  EXPECT_FALSE(Overlap("127.0.0.1:80", "127.0.0.2:80"));
  EXPECT_FALSE(Overlap("127.0.0.1:80", "[::1]:80"));
  EXPECT_FALSE(Overlap("0.0.0.0:0", "0.0.0.0:0"));
  EXPECT_FALSE(Overlap("unix:/a", "unix:/b"));
  EXPECT_FALSE(Overlap("unix:/a", "0.0.0.0:80"));
}

TEST(AddressTest, ATargetLeadsToAListener) {
  EXPECT_TRUE(LeadsTo("127.0.0.1:80", "127.0.0.1:80"));
  EXPECT_TRUE(LeadsTo("127.0.0.1:80", "0.0.0.0:80"));
  EXPECT_TRUE(LeadsTo("localhost:80", "[::]:80"));
  EXPECT_TRUE(LeadsTo("0.0.0.0:80", "127.0.0.1:80"));
  EXPECT_TRUE(LeadsTo("dns:localhost:80", "127.0.0.1:80"));
  EXPECT_TRUE(LeadsTo("dns:///localhost:80", "127.0.0.1:80"));
  EXPECT_TRUE(LeadsTo("dns://10.0.0.53/localhost:80", "[::1]:80"));
  EXPECT_TRUE(LeadsTo("dns:///localhost", "127.0.0.1:443"));
  EXPECT_TRUE(LeadsTo("ipv4:127.0.0.1:80", "0.0.0.0:80"));
  EXPECT_TRUE(LeadsTo("ipv6:[::1]:80", "[::1]:80"));
  EXPECT_TRUE(LeadsTo("orders:80", "orders:80"));
  EXPECT_TRUE(LeadsTo("unix:/a", "unix:///a"));

  EXPECT_FALSE(LeadsTo("127.0.0.1:81", "0.0.0.0:80"));
  EXPECT_FALSE(LeadsTo("127.0.0.2:80", "127.0.0.1:80"));
  // Another machine has this port.
  EXPECT_FALSE(LeadsTo("orders:80", "0.0.0.0:80"));
  EXPECT_FALSE(LeadsTo("10.0.0.1:80", "0.0.0.0:80"));
  EXPECT_FALSE(LeadsTo("0.0.0.0:80", "10.0.0.1:80"));
  EXPECT_FALSE(LeadsTo("127.0.0.1:80", "127.0.0.1:0"));
  EXPECT_FALSE(LeadsTo("unix:/a", "unix:/b"));
  EXPECT_FALSE(LeadsTo("localhost:80", "unix:/b"));
}

TEST(AddressTest, TheAddressesOfATargetAreAllOfThem) {
  std::vector<std::string> all;
  for (const Address& a : AddressesOf("ipv4:10.0.0.7:443,10.0.0.8:444")) {
    all.push_back(a.ToString());
  }
  EXPECT_THAT(all, ElementsAre("10.0.0.7:443", "10.0.0.8:444"));
  EXPECT_THAT(AddressesOf("xds:///orders:80"), IsEmpty());
  EXPECT_THAT(AddressesOf("http://orders:80"), IsEmpty());
  EXPECT_THAT(AddressesOf("orders"), IsEmpty());
}

TEST(TargetTest, MayBeAnyNameOfGrpc) {
  for (const char* target :
       {"orders:443", "10.0.0.7:443", "[::1]:443", "dns:orders", "dns:orders:1",
        "dns:///orders:443", "dns://10.0.0.53:53/orders:443",
        "ipv4:10.0.0.7:443,10.0.0.8:443", "ipv6:[fd00::1]:443",
        "ipv4:///10.0.0.7:443", "unix:/run/orders", "unix:///run/orders",
        "unix-abstract:orders", "vsock:2:80", "xds:///orders",
        "xds://authority/orders", "google-c2p:///orders"}) {
    EXPECT_EQ(TargetError(target), "") << target;
  }
}

TEST(TargetTest, ABadOneSaysWhatIsWrong) {
  const std::string no_host = std::string("has no valid host; ") + kForms;
  const std::string no_port = std::string("has no port; ") + kForms;
  for (const auto& [target, error] :
       std::vector<std::pair<const char*, std::string>>{
           {"orders", no_port},
           {"ipv4:10.0.0.7", no_port},
           {"ipv4:10.0.0.7:443,", no_host},
           {"dns:", no_host},
           {"dns:///", no_host},
           {"dns://10.0.0.53", no_host},
           {"xds:", "has a port that isn't 0 to 65535"},
           {"http://orders:80", "has a scheme that gRPC doesn't know"},
           {"orders:0", "has the port 0, to which nobody can connect"},
           {"dns:///orders:0", "has the port 0, to which nobody can connect"},
           {"orders:65536", "has a port that isn't 0 to 65535"},
           {"unix:orders",
            "has no absolute path of a socket; write unix:/path"},
           {"xds:///a b", "has characters that aren't printable ASCII"},
           {"orders:443\n", "has characters that aren't printable ASCII"},
       }) {
    EXPECT_EQ(TargetError(target), error) << target;
  }
}

TEST(MethodPatternTest, IsAMethodAServiceOrAll) {
  for (const char* pattern :
       {"*", "/shop.v1.Orders/GetOrder", "/shop.v1.Orders/*", "/a/b"}) {
    EXPECT_TRUE(IsMethodPattern(pattern)) << pattern;
  }
  for (const char* pattern :
       {"", "/", "//", "/*", "/a", "/a/", "//b", "/*/*", "/*/b", "/a/b*",
        "/a.*/b", "/a/b/c", "a/b", "shop.v1.Orders/*", "**", "/a/b ", " *",
        "/\xc3\xa4/b"}) {
    EXPECT_FALSE(IsMethodPattern(pattern)) << pattern;
  }
}

}  // namespace
}  // namespace tether::sidecar
