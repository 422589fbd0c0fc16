// SPDX-License-Identifier: Apache-2.0
//
// Calls of every client style, beyond the matrix: with deadlines of their own,
// and cancelled at any moment.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/client.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/testing/give_up.h"
#include "tether/testing/simulated_clock.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

constexpr absl::Duration kPrompt = absl::Seconds(1);

std::chrono::system_clock::time_point In(absl::Duration d) {
  return absl::ToChronoTime(absl::Now() + d);
}

class ClientStyleTest : public testing::GrpcLeakCheckedTest,
                        public ::testing::WithParamInterface<ClientStyle> {
 protected:
  void Serve(ServerStyle style) {
    seen_ = std::make_shared<Observation>();
    server_ = StartServer(style, seen_);
    channel_ =
        CreateChannel(server_->address(), grpc::InsecureChannelCredentials(),
                      {}, testing::OwnConnection());
  }

  void TearDown() override {
    channel_.reset();
    server_.reset();
    seen_.reset();
    GrpcLeakCheckedTest::TearDown();
  }

  grpc::Status Answer(grpc::ClientContext& call, Kind kind) {
    return Call(GetParam(), kind, channel_, &call, Request::kAnswer).status;
  }

  std::shared_ptr<Observation> seen_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

INSTANTIATE_TEST_SUITE_P(Styles, ClientStyleTest,
                         ::testing::ValuesIn(kClientStyles),
                         [](const auto& param_info) {
                           return std::string(Name(param_info.param));
                         });

// ---- The deadline on the wire ----

struct Deadlines {
  absl::Duration of_context;
  absl::Duration of_call;  // InfiniteDuration(): not set
};

constexpr absl::Duration kShort = absl::Seconds(60);
constexpr absl::Duration kLong = absl::Seconds(90);

TEST_P(ClientStyleTest, TheServerHasNoMoreTimeThanTheEarlierDeadlineGives) {
  for (const Deadlines& deadlines :
       {Deadlines{kShort, absl::InfiniteDuration()}, Deadlines{kShort, kLong},
        Deadlines{kLong, kShort},
        Deadlines{absl::InfiniteDuration(), kShort}}) {
    for (const bool current : {false, true}) {
      Serve(ServerStyle::kSync);
      const auto [ctx, cancel] =
          WithTimeout(Background(), deadlines.of_context);
      std::optional<ScopedContext> scope;
      std::optional<ClientCall> call_of_ctx;
      std::optional<grpc::ClientContext> plain;
      if (current) {
        scope.emplace(ctx);
        plain.emplace();
      } else {
        call_of_ctx.emplace(ctx);
      }
      grpc::ClientContext& call = current ? *plain : *call_of_ctx;
      if (deadlines.of_call != absl::InfiniteDuration()) {
        call.set_deadline(In(deadlines.of_call));
      }
      EXPECT_TRUE(Answer(call, Kind::kUnary).ok());
      // gRPC's own header would have been rounded up. If only the caller set a
      // deadline, it counts on the wall clock.
      absl::MutexLock lock(&seen_->mutex);
      EXPECT_LE(seen_->remaining, kShort) << deadlines.of_call;
      EXPECT_GT(seen_->remaining, kShort - kGiveUp);
    }
  }
}

TEST_P(ClientStyleTest, WithoutAnyDeadlineTheServerHasNone) {
  Serve(ServerStyle::kSync);
  grpc::ClientContext call;
  EXPECT_TRUE(Answer(call, Kind::kUnary).ok());
  absl::MutexLock lock(&seen_->mutex);
  EXPECT_EQ(seen_->remaining, absl::InfiniteDuration());
}

TEST_P(ClientStyleTest, AnEarlierDeadlineOfTheCallersOwnEndsTheCall) {
  Serve(ServerStyle::kSync);
  const auto [ctx, cancel] = WithTimeout(Background(), kGiveUp);
  ClientCall call(ctx);
  call.set_deadline(In(absl::Milliseconds(50)));
  const absl::Time start = absl::Now();
  const grpc::Status status =
      Call(GetParam(), Kind::kUnary, channel_, &call, Request::kWait).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(absl::Now() - start, kPrompt);
  EXPECT_FALSE(ctx.Done());
}

// ---- An end at any moment ----

// Cancels at moments that are spread over a call's whole life. Whatever the
// moment, the call has one status: the server's, or the context's.
TEST_P(ClientStyleTest, ACallThatIsCancelledAtAnyMomentHasOneWholeStatus) {
  constexpr int kMoments = 60;
  for (ServerStyle server : {ServerStyle::kSync, ServerStyle::kCallback,
                             ServerStyle::kGenericAsync}) {
    Serve(server);
    ASSERT_TRUE(channel_->WaitForConnected(In(kGiveUp)));
    for (Kind kind : kKinds) {
      for (int i = 0; i < kMoments; ++i) {
        const auto [ctx, cancel] = WithCancel(Background());
        const absl::Duration delay = i * absl::Microseconds(10);
        std::thread canceler([&delay, &leave = cancel] {
          const absl::Time at = absl::Now() + delay;
          while (absl::Now() < at) std::this_thread::yield();
          leave(absl::UnavailableError("the user left"));
        });
        {
          std::optional<ScopedContext> scope;
          std::optional<ClientCall> call_of_ctx;
          std::optional<grpc::ClientContext> plain;
          if (i % 2 == 0) {
            scope.emplace(ctx);
            plain.emplace();
          } else {
            call_of_ctx.emplace(ctx);
          }
          const grpc::Status status =
              Answer(plain ? *plain : *call_of_ctx, kind);
          if (!status.ok()) {
            EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
            EXPECT_EQ(status.error_message(), "context canceled: the user left")
                << Name(server) << ' ' << Name(kind) << ' ' << delay;
          }
        }
        canceler.join();
      }
    }
  }
}

// ---- Streams that fail or are abandoned ----

class StreamTest : public testing::GrpcLeakCheckedTest {
 protected:
  StreamTest() { stub_ = testing::ProbeStub(server_->address()); }

  static Ping WaitRequest() {
    Ping ping;
    SetNumber(ping, static_cast<int>(Request::kWait));
    return ping;
  }

  // The only handler has seen the end of its context.
  void ExpectHandlerCancelled() {
    EXPECT_TRUE(seen_->ended.WaitForNotificationWithTimeout(kPrompt));
    EXPECT_EQ(seen_->err, absl::CancelledError("context canceled"));
  }

  std::shared_ptr<Observation> seen_ = std::make_shared<Observation>();
  std::unique_ptr<Server> server_ = StartServer(ServerStyle::kSync, seen_);
  std::unique_ptr<Probe::Stub> stub_;
};

TEST_F(StreamTest, OneThatHasSentNothingYetEndsWithTheCurrentContext) {
  const auto [ctx, cancel] = WithCancel(Background());
  ScopedContext scope(ctx);
  grpc::ClientContext call;
  call.set_initial_metadata_corked(true);
  auto stream = stub_->Chat(&call);
  std::thread leaver([&, &leave = cancel] {
    absl::SleepFor(absl::Milliseconds(20));
    leave();
  });
  Pong pong;
  EXPECT_FALSE(stream->Read(&pong));
  leaver.join();
  EXPECT_EQ(stream->Finish().error_message(), "context canceled");
  EXPECT_EQ(seen_->handlers, 0);
}

// Notifies when a call has its first hook. Behind tether's interceptor.
class FirstHookNotifier final : public grpc::experimental::Interceptor {
 public:
  explicit FirstHookNotifier(absl::Notification& first_hook)
      : first_hook_(first_hook) {}
  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (!begun_.exchange(true)) first_hook_.Notify();
    methods->Proceed();
  }

 private:
  absl::Notification& first_hook_;
  std::atomic<bool> begun_{false};
};

class FirstHookNotifierFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit FirstHookNotifierFactory(absl::Notification& first_hook)
      : first_hook_(first_hook) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new FirstHookNotifier(first_hook_);
  }

 private:
  absl::Notification& first_hook_;
};

// Otherwise the request would arrive without its values.
TEST_F(StreamTest, NothingIsSentForAnEndedContextThoughItHasNotCancelledYet) {
  testing::SimulatedClock clock;
  absl::Notification first_hook;
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      factories;
  factories.push_back(std::make_unique<ClientInterceptorFactory>());
  factories.push_back(std::make_unique<FirstHookNotifierFactory>(first_hook));
  const auto stub =
      Probe::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
          server_->address(), grpc::InsecureChannelCredentials(),
          testing::OwnConnection(), std::move(factories)));
  const auto [ctx, cancel] = WithTimeout(Background(clock), absl::Hours(1));
  // Its callback runs when the deadline has passed, and before the call's.
  const auto [first, cancel_first] =
      WithTimeout(Background(clock), absl::Hours(1));
  ClientCall call(ctx);
  call.set_initial_metadata_corked(true);
  auto stream = stub->Chat(&call);
  std::thread reader([&stream] {
    Pong pong;
    EXPECT_FALSE(stream->Read(&pong));
  });
  ASSERT_TRUE(first_hook.WaitForNotificationWithTimeout(kGiveUp));
  std::atomic<bool> was_told{false};  // of its end
  const Registration end = AfterFunc(ctx, [&was_told] { was_told = true; });
  bool was_over = false;
  bool was_sent = true;
  const Registration writer = AfterFunc(first, [&, &call_ctx = ctx] {
    was_over = call_ctx.Remaining() <= absl::ZeroDuration() && !was_told;
    was_sent = stream->Write(WaitRequest());
  });
  clock.Advance(absl::Hours(1));
  reader.join();
  EXPECT_TRUE(was_over);
  EXPECT_FALSE(was_sent);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(seen_->handlers, 0);
}

TEST_F(StreamTest, AnAbandonedOneOfAPlainContextEndsOnTheServer) {
  const auto [ctx, cancel] = WithCancel(Background());
  {
    ScopedContext scope(ctx);
    grpc::ClientContext call;
    auto stream = stub_->Chat(&call);
    EXPECT_TRUE(stream->Write(WaitRequest()));
    EXPECT_TRUE(seen_->waiting.WaitForNotificationWithTimeout(kGiveUp));
  }  // never finished
  ExpectHandlerCancelled();
}

TEST_F(StreamTest, AnAbandonedAsyncOneEndsOnTheServer) {
  const auto [ctx, cancel] = WithCancel(Background());
  grpc::CompletionQueue queue;
  {
    ClientCall call(ctx);
    auto reader = stub_->AsyncDownload(&call, WaitRequest(), &queue, nullptr);
    void* tag;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
    EXPECT_TRUE(seen_->waiting.WaitForNotificationWithTimeout(kGiveUp));
  }  // not read, and not finished
  ExpectHandlerCancelled();
  queue.Shutdown();
}

// gRPC makes an interceptor for such a call, and never calls it.
TEST_F(StreamTest, ACallThatIsPreparedAndNeverStartedLeavesNothing) {
  grpc::CompletionQueue queue;
  for (const bool ends : {false, true}) {
    const auto [ctx, cancel] = WithCancel(Background());
    ScopedContext scope(ctx);
    ClientCall call(ctx);
    grpc::ClientContext plain;
    auto prepared = stub_->PrepareAsyncChat(&call, &queue);
    auto prepared_plain = stub_->PrepareAsyncChat(&plain, &queue);
    if (ends) cancel();
  }
  EXPECT_EQ(seen_->handlers, 0);
  queue.Shutdown();
}

}  // namespace
}  // namespace tether::matrix
