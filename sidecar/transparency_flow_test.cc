// SPDX-License-Identifier: Apache-2.0
//
// Through two sidecars in a row, messages flow as they flow without them: a
// slow reader slows down the writer, directions don't wait for each other, and
// neither do calls.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/testing/transparency.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using testing::Client;
using testing::ClientSide;
using testing::ServerSide;
using testing::TransparencyTest;
using tether::testing::kGiveUp;

INSTANTIATE_TEST_SUITE_P(Way, TransparencyTest,
                         ::testing::ValuesIn(testing::AllWays()),
                         [](const auto& param_info) {
                           return testing::NameOf(param_info.param);
                         });

constexpr size_t kMessageSize = 64 * 1024;
// What a writer may get ahead of a reader that doesn't read. Directly it is
// some 63 messages, the buffers of one connection. Each sidecar adds a
// connection and two messages.
constexpr int kMostAhead = 3 * 63 + 2 * 2 + 60;

// No message flows for so long: the windows are full.
constexpr absl::Duration kStuck = absl::Milliseconds(300);

std::string Message(int i) {
  return absl::StrCat(i, std::string(kMessageSize, 'm'));
}

TEST_P(TransparencyTest, ASlowServerSlowsDownTheClient) {
  auto go = std::make_shared<absl::Notification>();
  Play(
      GetParam(),
      [&](ServerSide& call) {
        go->WaitForNotificationWithTimeout(kGiveUp);
        int count = 0;
        while (const auto message = call.Read()) {
          EXPECT_EQ(*message, Message(count));
          ++count;
        }
        call.WriteAndFinish(absl::StrCat(count), grpc::Status::OK);
      },
      [&](Client& client) {
        ClientSide& call = client.Call();
        int sent = 0;
        while (sent < kMostAhead && call.BeginWrite(Message(sent), kStuck)) {
          ++sent;
        }
        EXPECT_LT(sent, kMostAhead);
        std::cout << sent << " messages were ahead" << std::endl;
        go->Notify();
        EXPECT_TRUE(call.FinishWrite());
        call.HalfClose();
        EXPECT_EQ(call.Read(), absl::StrCat(sent + 1));
        EXPECT_TRUE(call.Finish().ok());
      });
}

TEST_P(TransparencyTest, ASlowClientSlowsDownTheServer) {
  std::atomic<int> sent{0};
  std::atomic<bool> enough{false};
  Play(
      GetParam(),
      [&](ServerSide& call) {
        while (!enough && call.Write(Message(sent))) ++sent;
        call.Finish(grpc::Status::OK);
      },
      [&](Client& client) {
        ClientSide& call = client.Call();
        call.HalfClose();
        for (int before = -1; before != sent && sent < kMostAhead;) {
          before = sent;
          absl::SleepFor(kStuck);
        }
        EXPECT_LT(sent, kMostAhead);
        std::cout << sent << " messages were ahead" << std::endl;
        enough = true;
        int count = 0;
        while (const auto message = call.Read()) {
          EXPECT_EQ(*message, Message(count));
          ++count;
        }
        EXPECT_EQ(count, sent);
        EXPECT_TRUE(call.Finish().ok());
      });
}

// The client's messages are stuck, since the server doesn't read; the server's
// arrive.
TEST_P(TransparencyTest, ADirectionDoesNotWaitForTheOther) {
  Play(
      GetParam(),
      [&](ServerSide& call) {
        for (int i = 0; i < 100; ++i) EXPECT_TRUE(call.Write(Message(i)));
        call.Finish(grpc::Status(grpc::StatusCode::ABORTED, "enough"));
      },
      [&](Client& client) {
        ClientSide& call = client.Call();
        for (int sent = 0;
             sent < kMostAhead && call.BeginWrite(Message(sent), kStuck);) {
          ++sent;
        }
        for (int i = 0; i < 100; ++i) EXPECT_EQ(call.Read(), Message(i));
        EXPECT_FALSE(call.Read());
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::ABORTED);
        call.FinishWrite();
      });
}

// On one connection, each with messages of its own.
TEST_P(TransparencyTest, TwoHundredStreamsAtATime) {
  constexpr int kStreams = 200;
  ExpectSame(
      [](ServerSide& call) {
        while (const auto message = call.Read()) {
          EXPECT_TRUE(call.Write(*message));
        }
        call.Finish(grpc::Status::OK);
      },
      [](Client& client) {
        std::vector<ClientSide*> calls;
        for (int i = 0; i < kStreams; ++i) {
          ClientSide& call = client.Prepare();
          call.context().AddMetadata("x-number", absl::StrCat(i));
          call.Start();
          calls.push_back(&call);
        }
        for (int round = 0; round < 5; ++round) {
          for (int i = 0; i < kStreams; ++i) {
            EXPECT_TRUE(calls[i]->Write(absl::StrCat(i, " ", round)));
          }
          for (int i = 0; i < kStreams; ++i) {
            EXPECT_EQ(calls[i]->Read(), absl::StrCat(i, " ", round));
          }
        }
        for (ClientSide* call : calls) call->HalfClose();
        for (ClientSide* call : calls) EXPECT_TRUE(call->Finish().ok());
      });
}

// A stuck stream of the connection doesn't hold up another.
TEST_P(TransparencyTest, AStuckStreamHoldsUpNoOther) {
  auto go = std::make_shared<absl::Notification>();
  Play(
      GetParam(),
      [&](ServerSide& call) {
        if (call.method() == "/a.B/Stuck") {
          go->WaitForNotificationWithTimeout(kGiveUp);
          call.Finish(grpc::Status::OK);
          return;
        }
        while (const auto message = call.Read()) call.Write(*message);
        call.Finish(grpc::Status::OK);
      },
      [&](Client& client) {
        ClientSide& stuck = client.Call("/a.B/Stuck");
        stuck.BeginWrite(std::string(1024 * 1024, 's'), kStuck);
        ClientSide& call = client.Call("/a.B/Echo");
        for (int i = 0; i < 50; ++i) {
          EXPECT_TRUE(call.Write(absl::StrCat(i)));
          EXPECT_EQ(call.Read(), absl::StrCat(i));
        }
        call.HalfClose();
        EXPECT_TRUE(call.Finish().ok());
        go->Notify();
        EXPECT_TRUE(stuck.Finish().ok());
        stuck.FinishWrite();
      });
}

}  // namespace
}  // namespace tether::sidecar
