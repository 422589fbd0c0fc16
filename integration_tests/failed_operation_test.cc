// SPDX-License-Identifier: Apache-2.0
//
// After an operation of a server call has failed, the handler's context
// reflects what gRPC knows at that moment. So a cancelled upload doesn't look
// like a complete one.
//
// The peers don't use tether, and cancel like any client.

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server.h"
#include "testing/tcp_proxy.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

// Otherwise gRPC shuts down after each case. It then waits up to 10 s for the
// thread that polls for connections on which writing had to wait.
class GrpcStaysInitialized final : public ::testing::Environment {
 public:
  void SetUp() override { grpc_init(); }
  void TearDown() override { grpc_shutdown(); }
};

const auto* const kGrpcStaysInitialized =
    ::testing::AddGlobalTestEnvironment(new GrpcStaysInitialized);

enum class End {
  kCancel,     // the caller cancels
  kVanish,     // its connection is reset
  kDeadline,   // the deadline that gRPC knows passes
  kHalfClose,  // no failure: the caller has sent all its messages
};

struct Case {
  ServerStyle style;
  Kind kind;
  Request request;  // the operation that fails: reading or writing
  End end;
};

std::string NameOf(const Case& c) {
  static const char* const kEnds[] = {"Cancel", "Vanish", "Deadline",
                                      "HalfClose"};
  return std::string(Name(c.style)) + "_" + Name(c.kind) +
         (c.request == Request::kReadToEnd ? "Read_" : "Write_") +
         kEnds[static_cast<int>(c.end)];
}

std::vector<Case> Cases(std::vector<End> ends) {
  std::vector<Case> cases;
  for (ServerStyle style : kServerStyles) {
    for (End end : ends) {
      cases.push_back({style, Kind::kUpload, Request::kReadToEnd, end});
      cases.push_back({style, Kind::kChat, Request::kReadToEnd, end});
      if (end == End::kHalfClose) continue;
      cases.push_back({style, Kind::kChat, Request::kWriteToEnd, end});
      cases.push_back({style, Kind::kDownload, Request::kWriteToEnd, end});
    }
  }
  return cases;
}

// While it lives, the operations of `call` end: after kGiveUp the test fails,
// and the call is cancelled. (The call has no deadline that would end them,
// since its handler's context shall have none.)
class CallLimit {
 public:
  explicit CallLimit(grpc::ClientContext& call)
      : thread_([this, &call] {
          if (over_.WaitForNotificationWithTimeout(kGiveUp)) return;
          ADD_FAILURE() << "an operation of the caller didn't end";
          call.TryCancel();
        }) {}
  ~CallLimit() {
    over_.Notify();
    thread_.join();
  }
  CallLimit(const CallLimit&) = delete;
  CallLimit& operator=(const CallLimit&) = delete;

 private:
  absl::Notification over_;
  std::thread thread_;
};

class FailedOperationTest : public testing::GrpcLeakCheckedTest,
                            public ::testing::WithParamInterface<Case> {
 protected:
  // Makes `count` calls, one after the other, that end `age` after their
  // handler began. Returns what the handlers' contexts showed.
  std::vector<Observation::Failed> Run(int count, absl::Duration age,
                                       bool look_first);

  // For each call, the time from the caller's half-close to the reply.
  std::vector<absl::Duration> latencies_;
};

std::vector<Observation::Failed> FailedOperationTest::Run(int count,
                                                          absl::Duration age,
                                                          bool look_first) {
  const Case& c = GetParam();
  const auto seen = std::make_shared<Observation>();
  seen->look_first = look_first;
  const auto server = StartServer(c.style, seen);
  std::unique_ptr<Probe::Stub> stub;
  std::unique_ptr<testing::TcpProxy> proxy;
  const auto connect = [&](const std::string& address) {
    const auto channel = grpc::CreateCustomChannel(
        address, grpc::InsecureChannelCredentials(), testing::OwnConnection());
    EXPECT_TRUE(
        channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)));
    stub = Probe::NewStub(channel);
  };
  if (c.end != End::kVanish) connect(server->address());

  Ping request;
  SetNumber(request, static_cast<int>(c.request));
  for (int i = 0; i < count; ++i) {
    if (c.end == End::kVanish) {
      proxy = std::make_unique<testing::TcpProxy>(server->address());
      connect(proxy->address());
    }
    grpc::ClientContext call;
    if (c.end == End::kDeadline) {
      call.set_deadline(
          absl::ToChronoTime(absl::Now() + absl::Milliseconds(20)));
    }
    Pong pong;
    std::unique_ptr<grpc::ClientWriter<Ping>> upload;
    std::unique_ptr<grpc::ClientReader<Pong>> download;
    std::unique_ptr<grpc::ClientReaderWriter<Ping, Pong>> chat;
    const CallLimit limit(call);
    switch (c.kind) {
      case Kind::kUpload:
        upload = stub->Upload(&call, &pong);
        upload->Write(request);
        break;
      case Kind::kDownload:
        download = stub->Download(&call, request);
        break;
      default:
        chat = stub->Chat(&call);
        chat->Write(request);
        break;
    }
    const auto await = [&, i](auto ready) {
      auto condition = [&] {
        seen->mutex.AssertHeld();
        return ready(i);
      };
      absl::MutexLock lock(&seen->mutex);
      return seen->mutex.AwaitWithTimeout(absl::Condition(&condition), kGiveUp);
    };
    // (On a busy machine, the deadline may pass before there is a handler.)
    const bool began = c.end == End::kDeadline || await([&](int before) {
                         seen->mutex.AssertHeld();
                         return seen->at_work > before;
                       });
    if (!began) {
      ADD_FAILURE() << "no handler";
      call.TryCancel();
      break;
    }
    // A real pause, since the handler's age matters.
    if (age > absl::ZeroDuration()) absl::SleepFor(age);
    const auto handler_noted = [&] {
      return await([&](int before) {
        seen->mutex.AssertHeld();
        return static_cast<int>(seen->failed.size()) > before;
      });
    };
    bool noted = false;
    const absl::Time start = absl::Now();
    switch (c.end) {
      case End::kCancel:
        call.TryCancel();
        break;
      case End::kVanish:
        proxy->Cut(testing::TcpProxy::How::kReset);
        // The caller may not have noticed: its gRPC can miss a reset that
        // arrives with data (docs/reliability.md). It can't tell the server any
        // more.
        noted = handler_noted();
        call.TryCancel();
        break;
      case End::kDeadline:
        break;
      case End::kHalfClose:
        upload ? upload->WritesDone() : chat->WritesDone();
        break;
    }
    const auto finish = [](auto& stream) {
      return stream ? stream->Finish() : grpc::Status::OK;
    };
    const grpc::Status status = upload ? finish(upload)
                                : chat ? finish(chat)
                                       : finish(download);
    if (c.end == End::kHalfClose) {
      EXPECT_TRUE(status.ok()) << status.error_message();
      latencies_.push_back(absl::Now() - start);
    } else {
      EXPECT_FALSE(status.ok());
    }
    noted = noted || c.end == End::kDeadline || handler_noted();
    EXPECT_TRUE(noted) << "no operation of the handler failed";
    if (!noted) break;
  }
  server->Shutdown(kGiveUp);
  absl::MutexLock lock(&seen->mutex);
  return seen->failed;
}

// Counts the contexts that are done, and lists the causes that differ from
// `cause`.
int CountDone(const std::vector<Observation::Failed>& failed) {
  return static_cast<int>(std::count_if(failed.begin(), failed.end(),
                                        [](const auto& f) { return f.done; }));
}

class EndedTest : public FailedOperationTest {};

TEST_P(EndedTest, AContextIsDoneWhenAnOperationFailedAtOnce) {
  const int count = GetParam().end == End::kCancel ? 100 : 10;
  const auto failed = Run(count, absl::ZeroDuration(), /*look_first=*/false);
  EXPECT_EQ(CountDone(failed), static_cast<int>(failed.size()));
  if (GetParam().end == End::kDeadline) return;
  EXPECT_EQ(static_cast<int>(failed.size()), count);
  for (const Observation::Failed& f : failed) {
    EXPECT_EQ(f.cause.message(), "the caller cancelled the call or is gone");
  }
}

TEST_P(EndedTest, AContextThatIsWatchedIsDoneWhenAnOperationFailed) {
  const int count = GetParam().end == End::kCancel ? 40 : 5;
  const auto failed = Run(count, absl::ZeroDuration(), /*look_first=*/true);
  EXPECT_EQ(CountDone(failed), static_cast<int>(failed.size()));
}

TEST_P(EndedTest, AContextOf50MillisecondsIsDoneWhenAnOperationFailed) {
  if (GetParam().end == End::kDeadline) return;
  const int count = GetParam().end == End::kCancel ? 6 : 2;
  for (bool look_first : {false, true}) {
    const auto failed = Run(count, absl::Milliseconds(50), look_first);
    EXPECT_EQ(CountDone(failed), count);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, EndedTest,
    ::testing::ValuesIn(Cases({End::kCancel, End::kVanish, End::kDeadline})),
    [](const auto& param_info) { return NameOf(param_info.param); });

class HalfCloseTest : public FailedOperationTest {};

TEST_P(HalfCloseTest, ACompleteUploadIsNotDone) {
  for (bool look_first : {false, true}) {
    const auto failed = Run(100, absl::ZeroDuration(), look_first);
    EXPECT_EQ(static_cast<int>(failed.size()), 100);
    EXPECT_EQ(CountDone(failed), 0);
  }
  const auto old = Run(10, absl::Milliseconds(50), /*look_first=*/true);
  EXPECT_EQ(CountDone(old), 0);
  std::sort(latencies_.begin(), latencies_.end());
  RecordProperty("median_us", static_cast<int>(absl::ToInt64Microseconds(
                                  latencies_[latencies_.size() / 2])));
}

INSTANTIATE_TEST_SUITE_P(All, HalfCloseTest,
                         ::testing::ValuesIn(Cases({End::kHalfClose})),
                         [](const auto& param_info) {
                           return NameOf(param_info.param);
                         });

class LockTest : public testing::GrpcLeakCheckedTest {};

TEST_F(LockTest, ACallbackMayTakeTheLockUnderWhichItsHandlerWrites) {
  testing::ProbeServer server({});
  std::atomic<int> called{0};
  std::atomic<int> done{0};
  server.download = [&](grpc::ServerContext& sc, const Ping&,
                        grpc::ServerWriter<Pong>* writer) {
    const Context ctx = ContextOf(sc);
    absl::Mutex mutex;
    const Registration callback(ctx, [&] {
      absl::MutexLock lock(&mutex);
      ++called;
    });
    const Pong pong = Payload<Pong>(Request::kWriteToEnd);
    {
      absl::MutexLock lock(&mutex);
      while (writer->Write(pong)) {
      }
      if (ctx.Done()) ++done;
      EXPECT_EQ(called, done - 1);
    }
    // The callback runs, on another thread.
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (called < done && absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(called, done);
    return StatusOf(ctx);
  };
  const auto stub = server.Stub(std::nullopt);
  for (int i = 1; i <= 50; ++i) {
    grpc::ClientContext call;
    const CallLimit limit(call);
    const auto download = stub->Download(&call, Ping());
    Pong pong;
    EXPECT_TRUE(download->Read(&pong));
    call.TryCancel();
    EXPECT_FALSE(download->Finish().ok());
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (called < i && absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(done, i);
  }
}

}  // namespace
}  // namespace tether::matrix
