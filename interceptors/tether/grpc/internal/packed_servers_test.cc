// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/packed_servers.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tether/internal/nanos.h"

namespace tether::internal {
namespace {

using Form = PackedServers::Form;

constexpr auto kOk = grpc::StatusCode::OK;

TEST(PackedServersTest, NothingIsPackedUntilAServerHasSaidThatItUnpacks) {
  PackedServers servers;
  EXPECT_EQ(servers.FormAt(5 * kSecond), Form::kAsk);
  EXPECT_EQ(servers.FormAt(5 * kSecond + 1), Form::kPlain);
  servers.OnAnswer(5 * kSecond, /*unpacks=*/true, kOk);
  EXPECT_EQ(servers.FormAt(5 * kSecond + 2), Form::kPacked);
}

TEST(PackedServersTest, AServerWithoutItIsAskedOnceASecond) {
  PackedServers servers;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(servers.FormAt(i * kSecond), Form::kAsk);
    servers.OnAnswer(i * kSecond, /*unpacks=*/false, kOk);
    EXPECT_EQ(servers.FormAt(i * kSecond + kSecond / 2), Form::kPlain);
    EXPECT_EQ(servers.FormAt((i + 1) * kSecond - 1), Form::kPlain);
  }
}

TEST(PackedServersTest, AServerThatWasReplacedByAnOlderOneGetsPlainHeaders) {
  PackedServers servers;
  (void)servers.FormAt(0);
  servers.OnAnswer(0, /*unpacks=*/true, kOk);
  ASSERT_EQ(servers.FormAt(1), Form::kPacked);
  // The question itself is never lost on it.
  ASSERT_EQ(servers.FormAt(kSecond), Form::kAsk);
  servers.OnAnswer(kSecond, /*unpacks=*/false, grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(servers.FormAt(kSecond + 1), Form::kPlain);
}

// A channel may have many servers, of which some are older.
TEST(PackedServersTest, AfterANoHeadersStayPlainForAMinute) {
  PackedServers servers;
  for (int second = 0; second < 200; ++second) {
    const Nanos now = second * kSecond;
    ASSERT_EQ(servers.FormAt(now), Form::kAsk);
    servers.OnAnswer(now, /*unpacks=*/second % 50 != 7, kOk);
    const bool plain = second >= 7 && second < 7 + 3 * 50 + 60;
    EXPECT_EQ(servers.FormAt(now + 1), plain ? Form::kPlain : Form::kPacked)
        << second;
  }
  for (int second = 200; second < 230; ++second) {
    (void)servers.FormAt(second * kSecond);
    servers.OnAnswer(second * kSecond, /*unpacks=*/true, kOk);
    EXPECT_EQ(servers.FormAt(second * kSecond + 1),
              second < 157 + 60 ? Form::kPlain : Form::kPacked)
        << second;
  }
}

// As when all calls are cancelled, or end by their deadlines.
TEST(PackedServersTest, WithoutAnswersHeadersBecomePlainAfterTenSeconds) {
  PackedServers servers;
  (void)servers.FormAt(0);
  servers.OnAnswer(0, /*unpacks=*/true, kOk);
  for (int second = 1; second < 20; ++second) {
    const Nanos now = second * kSecond;
    ASSERT_EQ(servers.FormAt(now), Form::kAsk);
    for (const auto code :
         {grpc::StatusCode::CANCELLED, grpc::StatusCode::DEADLINE_EXCEEDED,
          grpc::StatusCode::UNAVAILABLE}) {
      servers.OnAnswer(now, /*unpacks=*/false, code);
    }
    EXPECT_EQ(servers.FormAt(now + 1),
              second < 10 ? Form::kPacked : Form::kPlain);
  }
}

TEST(PackedServersTest, AnAnswerCountsFromItsQuestion) {
  PackedServers servers;
  (void)servers.FormAt(0);
  (void)servers.FormAt(20 * kSecond);
  // The first call was a long stream.
  servers.OnAnswer(0, /*unpacks=*/true, kOk);
  EXPECT_EQ(servers.FormAt(20 * kSecond + 1), Form::kPlain);
  servers.OnAnswer(20 * kSecond, /*unpacks=*/true, kOk);
  EXPECT_EQ(servers.FormAt(20 * kSecond + 2), Form::kPacked);
  // An earlier question doesn't shorten what a later one has found.
  servers.OnAnswer(15 * kSecond, /*unpacks=*/true, kOk);
  EXPECT_EQ(servers.FormAt(20 * kSecond + 3), Form::kPacked);
}

TEST(PackedServersTest, OnlyThisVersionSaysThatAServerUnpacks) {
  using Trailers = std::multimap<grpc::string_ref, grpc::string_ref>;
  EXPECT_TRUE(SaysThatItUnpacks(Trailers{{"tether", "1"}}));
  EXPECT_FALSE(SaysThatItUnpacks(Trailers{}));
  EXPECT_FALSE(SaysThatItUnpacks(Trailers{{"tether", "2"}}));
  EXPECT_FALSE(SaysThatItUnpacks(Trailers{{"tether", "1;i=2:id"}}));
  EXPECT_FALSE(SaysThatItUnpacks(Trailers{{"x-tether", "1"}}));
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
