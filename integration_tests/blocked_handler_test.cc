// SPDX-License-Identifier: Apache-2.0
//
// A server call's context ends at a time that gRPC doesn't know. After a grace
// period, the gRPC operation that the handler waits for fails, and the caller
// gets the context's status. So a peer that neither reads nor writes can't
// block a handler for longer than the server allows.
//
// The peers don't use tether.

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
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/timeout_header.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

constexpr absl::Duration kLimit = absl::Milliseconds(100);
constexpr absl::Duration kGrace = absl::Milliseconds(50);
// "Soon": hundreds of times the usual time on an idle machine.
constexpr absl::Duration kSoon = absl::Seconds(5);

enum class Limit { kMaxTimeout, kDefaultTimeout, kHeader, kLifetime };

struct Case {
  ServerStyle style;
  Kind kind;
  Request request;  // the handler blocks in reading or writing
  Limit limit;
};

std::string NameOf(const Case& c) {
  static const char* const kLimits[] = {"MaxTimeout", "DefaultTimeout",
                                        "Header", "Lifetime"};
  return std::string(Name(c.style)) + "_" + Name(c.kind) +
         (c.request == Request::kReadToEnd ? "Read_" : "Write_") +
         kLimits[static_cast<int>(c.limit)];
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (ServerStyle style : kServerStyles) {
    for (Limit limit : {Limit::kMaxTimeout, Limit::kDefaultTimeout,
                        Limit::kHeader, Limit::kLifetime}) {
      cases.push_back({style, Kind::kUpload, Request::kReadToEnd, limit});
      cases.push_back({style, Kind::kChat, Request::kReadToEnd, limit});
      cases.push_back({style, Kind::kChat, Request::kWriteToEnd, limit});
      cases.push_back({style, Kind::kDownload, Request::kWriteToEnd, limit});
    }
  }
  return cases;
}

class BlockedHandlerTest : public testing::GrpcLeakCheckedTest,
                           public ::testing::WithParamInterface<Case> {};

TEST_P(BlockedHandlerTest, IsReleasedAndItsCallerGetsTheStatusOfTheContext) {
  const Case& c = GetParam();
  ServerOptions options;
  options.answer_grace = kGrace;
  auto [base_context, cancel_base_context] = WithCancel(Background());
  std::string message;
  grpc::StatusCode code = grpc::StatusCode::DEADLINE_EXCEEDED;
  switch (c.limit) {
    case Limit::kMaxTimeout:
      options.time.max_timeout = kLimit;
      message =
          "context deadline exceeded: the server's max_timeout has passed";
      break;
    case Limit::kDefaultTimeout:
      options.time.default_timeout = kLimit;
      message =
          "context deadline exceeded: the server's default_timeout has passed";
      break;
    case Limit::kHeader:
      message = "context deadline exceeded: the caller's deadline has passed";
      break;
    case Limit::kLifetime:
      options.base_context = base_context;
      code = grpc::StatusCode::CANCELLED;
      message = "context canceled: that's it";
      break;
  }
  const auto seen = std::make_shared<Observation>();
  const auto server = StartServer(c.style, seen, options);
  const auto stub =
      testing::ProbeStub(server->address(), /*tether=*/std::nullopt);

  grpc::ClientContext call;
  if (c.limit == Limit::kHeader) {
    call.AddMetadata(std::string(kTimeoutHeader),
                     std::to_string(absl::ToInt64Microseconds(kLimit)));
    call.set_deadline(absl::ToChronoTime(absl::Now() + kGiveUp));
  }
  Ping request;
  SetNumber(request, static_cast<int>(c.request));
  Pong pong;
  const absl::Time start = absl::Now();
  std::unique_ptr<grpc::ClientWriter<Ping>> upload;
  std::unique_ptr<grpc::ClientReader<Pong>> download;
  std::unique_ptr<grpc::ClientReaderWriter<Ping, Pong>> chat;
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
  // From now on the peer sends nothing, and reads nothing.
  std::thread ender;
  absl::Time ends = start + kLimit;
  if (c.limit == Limit::kLifetime) {
    const auto working = [&] {
      seen->mutex.AssertHeld();
      return seen->at_work > 0;
    };
    {
      absl::MutexLock lock(&seen->mutex);
      EXPECT_TRUE(
          seen->mutex.AwaitWithTimeout(absl::Condition(&working), kGiveUp));
    }
    ends = absl::Now();
    cancel_base_context(absl::CancelledError("that's it"));
  }
  {
    const auto failed = [&] {
      seen->mutex.AssertHeld();
      return !seen->failed.empty();
    };
    absl::MutexLock lock(&seen->mutex);
    EXPECT_TRUE(
        seen->mutex.AwaitWithTimeout(absl::Condition(&failed), kGiveUp));
    if (failed()) {
      EXPECT_TRUE(seen->failed[0].done);
      EXPECT_GE(seen->failed[0].at, ends + kGrace - absl::Milliseconds(1));
      EXPECT_LT(seen->failed[0].at, ends + kGrace + kSoon);
    } else {
      call.TryCancel();  // so that the test ends
    }
  }
  if (download) {
    while (download->Read(&pong)) {
    }
  }
  if (chat) {
    while (chat->Read(&pong)) {
    }
  }
  const grpc::Status status = upload     ? upload->Finish()
                              : download ? download->Finish()
                                         : chat->Finish();
  EXPECT_EQ(status.error_code(), code);
  EXPECT_EQ(status.error_message(), message);
}

INSTANTIATE_TEST_SUITE_P(All, BlockedHandlerTest, ::testing::ValuesIn(Cases()),
                         [](const auto& param_info) {
                           return NameOf(param_info.param);
                         });

class BlockedServerTest : public testing::GrpcLeakCheckedTest {
 protected:
  static bool Released(absl::Duration within) {
    const absl::Time give_up = absl::Now() + within;
    while (absl::Now() < give_up) {
      if (GetGrpcStats().server_calls == 0) return true;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }
};

// The control: nothing else ends the call.
TEST_F(BlockedServerTest, WithoutALimitAHandlerStaysBlocked) {
  ServerOptions options;
  options.time.max_timeout = kLimit;
  options.answer_grace = absl::InfiniteDuration();
  const auto seen = std::make_shared<Observation>();
  const auto server = StartServer(ServerStyle::kSync, seen, options);
  const auto stub = Probe::NewStub(grpc::CreateChannel(
      server->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext call;
  Ping request;
  SetNumber(request, static_cast<int>(Request::kWriteToEnd));
  const auto download = stub->Download(&call, request);
  download->WaitForInitialMetadata();
  EXPECT_FALSE(Released(kLimit + 10 * kGrace));
  call.TryCancel();
  EXPECT_FALSE(download->Finish().ok());
}

// The handler has returned, and its pending messages are more than its caller
// accepts.
TEST_F(BlockedServerTest, AReplyThatCannotBeSentHoldsNoHandler) {
  class Reactor final : public grpc::ServerWriteReactor<Pong> {
   public:
    explicit Reactor(const Pong& pong) {
      StartWriteAndFinish(&pong, {}, grpc::Status::OK);
    }
    void OnDone() override { delete this; }
  };
  Pong large;
  large.GetReflection()->MutableUnknownFields(&large)->AddLengthDelimited(
      99, std::string(32 << 20, '.'));
  for (bool callback_api : {false, true}) {
    for (bool by_base_context : {false, true}) {
      auto [base_context, cancel_base_context] = WithCancel(Background());
      ServerOptions options;
      options.base_context = base_context;
      if (!by_base_context) options.time.max_timeout = kLimit;
      options.answer_grace = kGrace;
      testing::ProbeServer server({callback_api, options});
      server.download = [&](grpc::ServerContext&, const Ping&,
                            grpc::ServerWriter<Pong>* writer) {
        writer->WriteLast(large, {});
        return grpc::Status::OK;
      };
      server.callback_download = [&](grpc::CallbackServerContext*,
                                     const Ping*) {
        return new Reactor(large);
      };
      const auto stub = server.Stub(std::nullopt);
      grpc::ClientContext call;
      const auto download = stub->Download(&call, Ping());
      download->WaitForInitialMetadata();
      if (by_base_context) {
        EXPECT_FALSE(Released(absl::Milliseconds(20)));
        cancel_base_context();
      }
      EXPECT_TRUE(Released(kLimit + kGrace + kSoon));
      call.TryCancel();
      EXPECT_FALSE(download->Finish().ok());
    }
  }
}

// More calls than the server expects at first (ServerState::CancelAllCalls).
TEST_F(BlockedServerTest, TheEndOfTheBaseContextCutsOffHundredsOfCalls) {
  class Reactor final : public grpc::ServerWriteReactor<Pong> {
   public:
    Reactor() { StartSendInitialMetadata(); }
    void OnCancel() override { Finish(grpc::Status::OK); }
    void OnDone() override { delete this; }
  };
  constexpr size_t kCalls = 300;
  auto [base_context, cancel_base_context] = WithCancel(Background());
  ServerOptions options;
  options.base_context = base_context;
  options.answer_grace = kGrace;
  testing::ProbeServer server({/*callback_api=*/true, options});
  server.callback_download = [](grpc::CallbackServerContext*, const Ping*) {
    return new Reactor;
  };
  const auto stub = server.Stub(std::nullopt);
  std::vector<std::unique_ptr<grpc::ClientContext>> calls;
  std::vector<std::unique_ptr<grpc::ClientReader<Pong>>> downloads;
  for (size_t i = 0; i < kCalls; ++i) {
    calls.push_back(std::make_unique<grpc::ClientContext>());
    calls.back()->set_deadline(absl::ToChronoTime(absl::Now() + kGiveUp));
    downloads.push_back(stub->Download(calls.back().get(), Ping()));
  }
  for (const auto& download : downloads) download->WaitForInitialMetadata();
  cancel_base_context(absl::CancelledError("that's it"));
  for (const auto& download : downloads) {
    EXPECT_EQ(download->Finish().error_message(),
              "context canceled: that's it");
  }
}

TEST_F(BlockedServerTest, AHandlerThatAnswersWithinTheGraceIsHeard) {
  ServerOptions options;
  options.time.max_timeout = absl::Milliseconds(20);
  options.answer_grace = kGiveUp;
  testing::ProbeServer server({/*callback_api=*/false, options});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    ctx.Wait();
    absl::SleepFor(absl::Milliseconds(50));
    return grpc::Status(grpc::StatusCode::ABORTED, "half of it");
  };
  const auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  Pong pong;
  const grpc::Status status = stub->Unary(&call, Ping(), &pong);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "half of it");
}

TEST_F(BlockedServerTest, TheAnswerForAHandlerThatComputesComesAfterTheGrace) {
  for (const bool edge : {false, true}) {
    ServerOptions options;
    if (edge) options.edge.emplace();
    options.time.max_timeout = kLimit;
    options.answer_grace = absl::ZeroDuration();
    testing::ProbeServer server({/*callback_api=*/false, options});
    absl::Notification answered;
    server.unary = [&](grpc::ServerContext&, const Ping&, Pong*) {
      answered.WaitForNotificationWithTimeout(kGiveUp);
      return grpc::Status::OK;
    };
    const auto stub = server.Stub(std::nullopt);
    grpc::ClientContext call;
    Pong pong;
    const grpc::Status status = stub->Unary(&call, Ping(), &pong);
    answered.Notify();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_EQ(
        status.error_message(),
        edge
            ? "context deadline exceeded"
            : "context deadline exceeded: the server's max_timeout has passed");
  }
}

// Calls begin, are answered and end while others are cancelled.
TEST_F(BlockedServerTest, CuttingRacesWithAnswers) {
  for (bool callback_api : {false, true}) {
    auto [base_context, cancel_base_context] = WithCancel(Background());
    ServerOptions options;
    options.time.max_timeout = absl::Milliseconds(2);
    options.answer_grace = absl::ZeroDuration();
    options.base_context = base_context;
    testing::ProbeServer server({callback_api, options});
    server.unary = [&](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      ContextOf(sc).WaitFor(absl::Microseconds(1800 + ping.number()));
      return grpc::Status::OK;
    };
    server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                                Pong*) {
      grpc::ServerUnaryReactor* reactor = sc->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    };
    std::vector<std::thread> callers;
    std::atomic<int> made{0};
    for (int t = 0; t < 4; ++t) {
      callers.emplace_back([&] {
        const auto stub = server.Stub(std::nullopt);
        for (int i = 0; i < 100; ++i) {
          grpc::ClientContext call;
          Ping ping;
          ping.set_number(4 * i);
          Pong pong;
          stub->Unary(&call, ping, &pong);
          ++made;
        }
      });
    }
    while (made < 200) absl::SleepFor(absl::Milliseconds(1));
    cancel_base_context();
    for (std::thread& caller : callers) caller.join();
  }
}

}  // namespace
}  // namespace tether::matrix
