// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/packed_servers.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tether/internal/nanos.h"

namespace tether::internal {
namespace {

using Form = PackedServers::Form;

TEST(PackedServersTest, NothingIsPackedUntilAServerHasSaidThatItUnpacks) {
  PackedServers servers;
  EXPECT_EQ(servers.FormAt(5 * kSecond), Form::kAsk);
  EXPECT_EQ(servers.FormAt(5 * kSecond + 1), Form::kPlain);
  servers.OnAnswer(/*unpacks=*/true, grpc::StatusCode::OK);
  EXPECT_EQ(servers.FormAt(5 * kSecond + 2), Form::kPacked);
}

TEST(PackedServersTest, AServerWithoutItIsAskedOnceASecond) {
  PackedServers servers;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(servers.FormAt(i * kSecond), Form::kAsk);
    servers.OnAnswer(/*unpacks=*/false, grpc::StatusCode::OK);
    EXPECT_EQ(servers.FormAt(i * kSecond + kSecond / 2), Form::kPlain);
    EXPECT_EQ(servers.FormAt((i + 1) * kSecond - 1), Form::kPlain);
  }
}

TEST(PackedServersTest, AServerThatWasReplacedByAnOlderOneGetsPlainHeaders) {
  PackedServers servers;
  (void)servers.FormAt(0);
  servers.OnAnswer(/*unpacks=*/true, grpc::StatusCode::OK);
  ASSERT_EQ(servers.FormAt(1), Form::kPacked);
  // The question itself is never lost on it.
  ASSERT_EQ(servers.FormAt(kSecond), Form::kAsk);
  servers.OnAnswer(/*unpacks=*/false, grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(servers.FormAt(kSecond + 1), Form::kPlain);
}

TEST(PackedServersTest, ACallWithoutAnAnswerChangesNothing) {
  PackedServers servers;
  (void)servers.FormAt(0);
  servers.OnAnswer(/*unpacks=*/true, grpc::StatusCode::OK);
  for (const auto code :
       {grpc::StatusCode::CANCELLED, grpc::StatusCode::DEADLINE_EXCEEDED,
        grpc::StatusCode::UNAVAILABLE}) {
    servers.OnAnswer(/*unpacks=*/false, code);
    EXPECT_EQ(servers.FormAt(1), Form::kPacked);
  }
}

TEST(PackedServersTest, OfManyCallsAtOnceOneAsks) {
  PackedServers servers;
  std::atomic<int> asked{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 1000; ++call) {
        if (servers.FormAt(7) == Form::kAsk) ++asked;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(asked, 1);
}

}  // namespace
}  // namespace tether::internal
