// SPDX-License-Identifier: Apache-2.0
//
// The watcher's thread blocks the program's signals, and the system may be
// unable to start it.

#include "tether/grpc/internal/end_watcher.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/internal/grpc_version.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/service_thread.h"
#include "tether/testing/give_up.h"

namespace tether::internal {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

bool HasThread(const std::string& name) {
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::ifstream comm(task.path() / "comm");
    std::getline(comm, found);
    if (found == name) return true;
  }
  return false;
}

// Returns the mask of blocked signals of the thread with that name, or 0 if
// there is none.
uint64_t BlockedSignals(const std::string& name) {
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::ifstream comm(task.path() / "comm");
    std::getline(comm, found);
    if (found != name) continue;
    std::ifstream status(task.path() / "status");
    std::string word;
    while (status >> word) {
      if (word != "SigBlk:") continue;
      status >> word;
      return std::stoull(word, nullptr, 16);
    }
  }
  return 0;
}

class EndWatcherTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Makes a call whose handler waits for the end of its context.
  class Call {
   public:
    explicit Call(ProbeServer& server)
        : stub_(server.Stub(std::nullopt)), thread_([this] {
            Pong pong;
            EXPECT_EQ(stub_->Unary(&context_, Ping(), &pong).error_code(),
                      grpc::StatusCode::CANCELLED);
          }) {}
    ~Call() { thread_.join(); }

    void Leave() { context_.TryCancel(); }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<testing::Probe::Stub> stub_;
    std::thread thread_;
  };

  static void AwaitWatches(int64_t n) {
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (GetGrpcStats().watches < n && absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(GetGrpcStats().watches, n);
  }
};

TEST_F(EndWatcherTest, ItsThreadHasANameAndTakesNoneOfTheProgramsSignals) {
  ProbeServer server({});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_TRUE(ContextOf(sc).WaitFor(kGiveUp));
    return StatusOf(ContextOf(sc));
  };
  Call call(server);
  AwaitWatches(1);
  // The thread sets its name a moment after its start.
  uint64_t blocked = 0;
  const absl::Time give_up = absl::Now() + kGiveUp;
  while (blocked == 0 && absl::Now() < give_up) {
    blocked = BlockedSignals("tether-watch");
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2,
                           SIGALRM, SIGPIPE, SIGPROF}) {
    EXPECT_TRUE(blocked & (uint64_t{1} << (signal - 1))) << signal;
  }
  EXPECT_FALSE(blocked & (uint64_t{1} << (SIGSEGV - 1)));
  call.Leave();
}

TEST_F(EndWatcherTest, WhereItsThreadCannotBeStartedTheNextWatchTriesAgain) {
  ProbeServer server({});
  absl::Notification first_entered;
  absl::Notification first_told;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    const bool first = !first_entered.HasBeenNotified();
    if (first) first_entered.Notify();
    // A request that is 2 ms old is watched at once.
    absl::SleepFor(absl::Milliseconds(5));
    EXPECT_TRUE(ctx.WaitFor(kGiveUp));
    if (first) first_told.Notify();
    return StatusOf(ctx);
  };
  FailThreadStarts(1 << 30);
  Call first(server);
  first_entered.WaitForNotification();
  AwaitWatches(1);
  first.Leave();
  // The control: no thread reports the end.
  EXPECT_FALSE(
      first_told.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  EXPECT_EQ(BlockedSignals("tether-watch"), 0u);

  FailThreadStarts(0);
  Call second(server);
  EXPECT_TRUE(first_told.WaitForNotificationWithTimeout(kGiveUp / 2));
  second.Leave();
}

// A thread that polls makes every RPC of the process dearer. (Needs a process
// of its own, since it stays once there has been an async server.)
TEST_F(EndWatcherTest, AThreadPollsOnlyOnceThereIsAnAsyncServer) {
  ProbeServer server({});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_TRUE(ContextOf(sc).WaitFor(kGiveUp));
    return StatusOf(ContextOf(sc));
  };
  Call call(server);
  AwaitWatches(1);
  EXPECT_FALSE(HasThread("tether-poll"));

  testing::Probe::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  InstallServer(builder);
  const auto queue = builder.AddCompletionQueue();
  testing::LoopbackServer async = testing::ListenOnLoopback(builder);
  {
    grpc::ServerContext sc;
    Ping ping;
    grpc::ServerAsyncResponseWriter<Pong> writer(&sc);
    service.RequestUnary(&sc, &ping, &writer, queue.get(), queue.get(), &sc);
    std::thread caller([&] {
      grpc::ClientContext context;
      Pong pong;
      EXPECT_TRUE(testing::ProbeStub(async.address)
                      ->Unary(&context, Ping(), &pong)
                      .ok());
    });
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue->Next(&tag, &ok) && ok);
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (!kWatchesPoll && !HasThread("tether-poll") &&
           absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    // Where the watches' own queue polls, no further thread does.
    EXPECT_NE(HasThread("tether-poll"), kWatchesPoll);
    writer.Finish(Pong(), grpc::Status::OK, &sc);
    EXPECT_TRUE(queue->Next(&tag, &ok));
    caller.join();
  }
  std::thread drain([&] {
    void* tag;
    bool ok;
    while (queue->Next(&tag, &ok)) {
    }
  });
  async.server->Shutdown();
  queue->Shutdown();
  drain.join();
  call.Leave();
}

TEST_F(EndWatcherTest, WithoutItsThreadAServerStillEnds) {
  {
    ProbeServer server({});
    server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
      absl::SleepFor(absl::Milliseconds(5));
      EXPECT_FALSE(ContextOf(sc).WaitFor(absl::Milliseconds(20)));
      return grpc::Status(grpc::StatusCode::CANCELLED, "enough");
    };
    FailThreadStarts(1 << 30);
    Call call(server);
  }
  FailThreadStarts(0);
}

}  // namespace
}  // namespace tether::internal
