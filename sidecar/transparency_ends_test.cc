// SPDX-License-Identifier: Apache-2.0
//
// Through two sidecars in a row, calls end as they end without them: early
// errors, early headers, cancellation by each side, deadlines, applications
// that are down.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/testing/transparency.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using ::testing::AnyOf;
using testing::Client;
using testing::ClientSide;
using ::testing::HasSubstr;
using testing::ServerSide;
using testing::TransparencyTest;
using tether::testing::kGiveUp;

// An event of one scenario, which is played twice.
class Signal {
 public:
  void Notify() {
    if (!notification_.HasBeenNotified()) notification_.Notify();
  }
  // Fails the test if it doesn't come.
  void Wait() {
    EXPECT_TRUE(notification_.WaitForNotificationWithTimeout(kGiveUp));
  }

 private:
  absl::Notification notification_;
};

INSTANTIATE_TEST_SUITE_P(Way, TransparencyTest,
                         ::testing::ValuesIn(testing::AllWays()),
                         [](const auto& param_info) {
                           return testing::NameOf(param_info.param);
                         });

// ---- The server ends ----

// The client has half-closed nothing, and waits for the status.
TEST_P(TransparencyTest, AnErrorBeforeTheClientHasSentAnything) {
  const std::string seen = ExpectSame(
      [](ServerSide& call) {
        call.context().AddTrailingMetadata("x-late", "late");
        call.Finish(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        EXPECT_FALSE(call.Read());
        EXPECT_EQ(call.Finish().error_message(), "no");
      });
  EXPECT_THAT(seen, HasSubstr("trailers:\n  x-late: \"late\"\nstatus: 7 "));
}

TEST_P(TransparencyTest, AnErrorBetweenTheClientsMessages) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.Write("reply");
        call.Finish(grpc::Status(grpc::StatusCode::ABORTED, "enough"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.Write("request");
        EXPECT_TRUE(call.Read());
        EXPECT_FALSE(call.Read());
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::ABORTED);
        EXPECT_FALSE(call.Write("more"));
      });
}

// OK, too, while the client could send more.
TEST_P(TransparencyTest, OkBeforeTheClientHalfCloses) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.WriteAndFinish("reply", grpc::Status::OK);
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.Write("request");
        EXPECT_EQ(call.Read(), "reply");
        EXPECT_FALSE(call.Read());
        EXPECT_TRUE(call.Finish().ok());
      });
}

// The server reads nothing, so the message fills all windows, and an operation
// of each hop is pending when the status comes.
TEST_P(TransparencyTest, AnErrorWhileAWriteIsPending) {
  ExpectSame(
      [](ServerSide& call) {
        absl::SleepFor(absl::Milliseconds(50));  // until the windows are full
        call.Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.BeginWrite(std::string(20 * 1024 * 1024, 'x'), absl::Duration());
        EXPECT_EQ(call.Finish().error_code(),
                  grpc::StatusCode::RESOURCE_EXHAUSTED);
        call.FinishWrite();
      });
}

TEST_P(TransparencyTest, TrailersOnly) {
  const std::string seen = ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.context().AddTrailingMetadata("x-late", "late");
        call.Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "none"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.HalfClose();
        call.ReadHeaders();
        EXPECT_FALSE(call.Read());
        call.Finish();
      });
  EXPECT_THAT(seen, HasSubstr("headers:\ntrailers:\n  x-late: \"late\"\n"));
}

TEST_P(TransparencyTest, HeadersThenAStatusAtOnce) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.context().AddInitialMetadata("x-early", "early");
        call.Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "none"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.HalfClose();
        EXPECT_TRUE(call.ReadHeaders());
        EXPECT_FALSE(call.Read());
        call.Finish();
      });
}

TEST_P(TransparencyTest, EarlyHeadersArriveBeforeTheFirstMessage) {
  auto signal = std::make_shared<Signal>();
  for (const std::string name : {"x-early", ""}) {
    // Empty headers may be held until there is more to send
    // (docs/sidecar.md), so nobody waits for them.
    const bool has_metadata = !name.empty();
    ExpectSame(
        [&](ServerSide& call) {
          if (has_metadata) call.context().AddInitialMetadata(name, "early");
          EXPECT_TRUE(call.SendHeaders());
          if (has_metadata) signal->Wait();
          call.Write("reply");
          call.Finish(grpc::Status::OK);
        },
        [&](Client& client) {
          signal = std::make_shared<Signal>();
          ClientSide& call = client.Call();
          EXPECT_TRUE(call.ReadHeaders());
          signal->Notify();
          EXPECT_EQ(call.Read(), "reply");
          EXPECT_TRUE(call.Finish().ok());
        });
  }
}

// A half-close arrives at once, and doesn't end the call.
TEST_P(TransparencyTest, AServerThatThinksLongAfterTheHalfClose) {
  ExpectSame(
      [](ServerSide& call) {
        while (call.Read()) {
        }
        EXPECT_FALSE(call.IsOver(absl::Milliseconds(300)));
        call.Write("reply");
        EXPECT_FALSE(call.IsOver(absl::Milliseconds(100)));
        call.Finish(grpc::Status::OK);
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.Write("request");
        call.HalfClose();
        EXPECT_EQ(call.Read(), "reply");
        EXPECT_FALSE(call.Read());
        EXPECT_TRUE(call.Finish().ok());
      });
}

// ---- Somebody gives up ----

TEST_P(TransparencyTest, TheServerNoticesThatTheClientCancels) {
  auto signal = std::make_shared<Signal>();
  const std::string seen = ExpectSame(
      [&](ServerSide& call) {
        call.Write("first");
        EXPECT_TRUE(call.WaitForEnd());
        signal->Notify();
      },
      [&](Client& client) {
        signal = std::make_shared<Signal>();
        ClientSide& call = client.Call();
        EXPECT_EQ(call.Read(), "first");
        call.context().TryCancel();
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::CANCELLED);
        signal->Wait();
      });
  EXPECT_THAT(seen, HasSubstr("cancelled\n"));
}

// Both sides are in the middle of a message that nobody reads.
TEST_P(TransparencyTest, TheClientCancelsWhileBothSidesWrite) {
  auto signal = std::make_shared<Signal>();
  const std::string large(20 * 1024 * 1024, 'x');
  ExpectSame(
      [&](ServerSide& call) {
        // Each sidecar may take a message or two.
        int count = 0;
        while (call.Write(large)) ++count;
        EXPECT_LE(count, 6);
        EXPECT_TRUE(call.WaitForEnd());
        signal->Notify();
      },
      [&](Client& client) {
        signal = std::make_shared<Signal>();
        ClientSide& call = client.Call();
        call.BeginWrite(large, absl::Milliseconds(50));
        call.context().TryCancel();
        call.FinishWrite();
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::CANCELLED);
        signal->Wait();
      });
}

// gRPC's timeouts are rounded up on the wire, so the client's own comes first;
// but on a busy machine the server's may, with words of its own.
TEST_P(TransparencyTest, BothSidesNoticeTheClientsDeadline) {
  const std::string seen = ExpectSame(
      [](ServerSide& call) {
        call.Read();
        EXPECT_TRUE(call.WaitForEnd());
      },
      [](Client& client) {
        ClientSide& call = client.Prepare();
        call.WithoutWords();
        const auto start = std::chrono::steady_clock::now();
        call.context().set_deadline(std::chrono::system_clock::now() +
                                    std::chrono::milliseconds(100));
        call.Start();
        call.Write("request");
        EXPECT_FALSE(call.Read());
        EXPECT_EQ(call.Finish().error_code(),
                  grpc::StatusCode::DEADLINE_EXCEEDED);
        const auto spent = std::chrono::steady_clock::now() - start;
        EXPECT_GE(spent, std::chrono::milliseconds(90));
        EXPECT_LT(spent, std::chrono::seconds(2));
      });
  EXPECT_THAT(seen, HasSubstr(", with a deadline:"));
  EXPECT_THAT(seen, HasSubstr("cancelled\n"));
}

// Its deadline isn't over.
TEST_P(TransparencyTest, TheServersOwnDeadlineExceeded) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.Finish(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                                 "the database is slow"));
      },
      [](Client& client) {
        ClientSide& call = client.Prepare();
        call.context().set_deadline(std::chrono::system_clock::now() +
                                    std::chrono::seconds(20));
        call.Start();
        call.HalfClose();
        EXPECT_EQ(call.Finish().error_message(), "the database is slow");
      });
}

TEST_P(TransparencyTest, TheServerCancels) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.context().TryCancel();
        EXPECT_TRUE(call.WaitForEnd());
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.Write("request");
        EXPECT_FALSE(call.Read());
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::CANCELLED);
      });
}

TEST_P(TransparencyTest, TheServerCancelsAfterAMessage) {
  ExpectSame(
      [](ServerSide& call) {
        call.Write("reply");
        call.Read();  // the client has the reply
        call.context().TryCancel();
        EXPECT_TRUE(call.WaitForEnd());
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        EXPECT_EQ(call.Read(), "reply");
        call.Write("request");
        EXPECT_FALSE(call.Read());
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::CANCELLED);
      });
}

// Nobody listens where the application should be.
TEST_P(TransparencyTest, AnApplicationThatIsDownIsUnavailable) {
  std::string address;
  {
    testing::ScriptedServer gone([](ServerSide&) {});
    address = gone.address();
  }
  const std::string seen = ExpectSameAt(address, [&](Client& client) {
    ClientSide& call = client.Call();
    call.WithoutWords();
    const grpc::Status status = call.Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(),
                AnyOf(HasSubstr("connect"), HasSubstr(address)));
  });
  EXPECT_THAT(seen, HasSubstr("status: 14"));
}

}  // namespace
}  // namespace tether::sidecar
