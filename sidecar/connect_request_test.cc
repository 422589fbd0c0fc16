// SPDX-License-Identifier: Apache-2.0

#include "sidecar/connect_request.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace tether::sidecar {
namespace {

// The target; "incomplete"; or what is wrong.
std::string Read(const std::string& received) {
  const auto target = ReadConnectRequest(received);
  if (!target.ok()) return std::string(target.status().message());
  return target->has_value() ? (*target)->ToString() : "incomplete";
}

TEST(ConnectRequestTest, TheTargetIsRead) {
  // gRPC core; grpc-js; an IPv6 address; upper case.
  EXPECT_EQ(Read("CONNECT orders:443 HTTP/1.0\r\n\r\n"), "orders:443");
  EXPECT_EQ(Read("CONNECT orders:443 HTTP/1.1\r\nHost: orders:443\r\n"
                 "Connection: close\r\n\r\n"),
            "orders:443");
  EXPECT_EQ(Read("CONNECT [::1]:80 HTTP/1.1\r\n\r\n"), "[::1]:80");
  EXPECT_EQ(Read("CONNECT Orders.Shop:80 HTTP/1.1\r\n\r\n"), "orders.shop:80");
}

TEST(ConnectRequestTest, EachBeginningIsIncomplete) {
  const std::string request =
      "CONNECT orders:443 HTTP/1.1\r\nHost: orders:443\r\n\r\n";
  for (size_t size = 0; size < request.size(); ++size) {
    EXPECT_EQ(Read(request.substr(0, size)), "incomplete") << size;
  }
}

TEST(ConnectRequestTest, AnErrorSaysWhatIsWrong) {
  const char* const method =
      "this port takes only CONNECT requests of HTTP/1.1";
  EXPECT_EQ(Read("GET / HTTP/1.1\r\n\r\n"), method);
  EXPECT_EQ(Read("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), method);
  EXPECT_EQ(Read("connect orders:443 HTTP/1.1\r\n\r\n"), method);
  EXPECT_EQ(Read(std::string("\x16\x03\x01", 3)), method);

  const char* const line = "the first line is not CONNECT host:port HTTP/1.1";
  EXPECT_EQ(Read("CONNECT orders:443\r\n\r\n"), line);
  EXPECT_EQ(Read("CONNECT orders:443 HTTP/2.0\r\n\r\n"), line);
  EXPECT_EQ(Read("CONNECT orders:443  HTTP/1.1\r\n\r\n"), line);
  EXPECT_EQ(Read("CONNECT orders:443 HTTP/1.1 \r\n\r\n"), line);

  const char* const target = "the target is not host:port";
  EXPECT_EQ(Read("CONNECT  HTTP/1.1\r\n\r\n"), target);
  EXPECT_EQ(Read("CONNECT orders HTTP/1.1\r\n\r\n"), target);
  EXPECT_EQ(Read("CONNECT orders:0 HTTP/1.1\r\n\r\n"), target);
  EXPECT_EQ(Read("CONNECT orders:65536 HTTP/1.1\r\n\r\n"), target);
  EXPECT_EQ(Read("CONNECT unix:/run/orders HTTP/1.1\r\n\r\n"), target);
  EXPECT_EQ(Read("CONNECT Unix:3 HTTP/1.1\r\n\r\n"), target);
  EXPECT_EQ(Read(std::string("CONNECT a\0b:1 HTTP/1.1\r\n\r\n", 26)), target);
}

TEST(ConnectRequestTest, NothingMayFollow) {
  EXPECT_EQ(Read("CONNECT orders:443 HTTP/1.1\r\n\r\nPRI"),
            "bytes follow the request before its answer");
}

TEST(ConnectRequestTest, TheLengthIsLimited) {
  const std::string line = "CONNECT orders:443 HTTP/1.1\r\nX: ";
  const std::string end = "\r\n\r\n";
  const size_t rest = kLongestConnectRequest - line.size() - end.size();
  EXPECT_EQ(Read(line + std::string(rest, 'x') + end), "orders:443");
  EXPECT_EQ(Read(line + std::string(rest + 1, 'x') + end),
            "the request is too long");
  EXPECT_EQ(Read(line + std::string(rest, 'x')), "incomplete");
  EXPECT_EQ(Read(line + std::string(rest + 4, 'x')), "the request is too long");
}

TEST(ConnectRequestTest, ARefusalIsAnAnswerOfHttp) {
  EXPECT_EQ(RefusalOfConnect("403 Forbidden", "no"),
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
            "Content-Length: 3\r\nConnection: close\r\n\r\nno\n");
}

}  // namespace
}  // namespace tether::sidecar
