// SPDX-License-Identifier: Apache-2.0
//
// Every server style with every client style, for every kind of RPC and every
// event that can end it. See cell.h for the axes.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/client.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server.h"
#include "testing/tcp_proxy.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

// "At once": ten times the longest time on an idle machine. Usually it takes a
// millisecond there, and at most 100.
constexpr absl::Duration kPrompt = absl::Seconds(1);
// The grace period of the server's shutdown.
constexpr absl::Duration kGrace = absl::Milliseconds(10);

constexpr char kUpstreamCause[] = "the user left";

// How a call gets its context.
enum class Binding { kClientCall, kCurrent };

class MatrixTest : public testing::GrpcLeakCheckedTest,
                   public ::testing::WithParamInterface<Cell> {
 protected:
  // Runs the cell, and checks what both ends observed.
  static void RunAndCheck(const Cell& cell, Binding binding);

 private:
  // What both ends observed.
  struct Outcome {
    Reply reply;
    EndReason reason = EndReason::kNone;  // of a ClientCall
    std::shared_ptr<Observation> seen;
    absl::Time event_at;
    // How much later the server's deadline is than the client's: the time that
    // the request took to arrive.
    absl::Duration lag;
  };

  // `timeout` is for Event::kDeadline.
  static Outcome Run(const Cell& cell, Binding binding, absl::Duration timeout);

  static void CheckReply(const Cell& cell, const Reply& reply);
  static void CheckReason(const Cell& cell, EndReason reason);
  static void CheckHandler(const Cell& cell, const Outcome& outcome);
};

MatrixTest::Outcome MatrixTest::Run(const Cell& cell, Binding binding,
                                    absl::Duration timeout) {
  Outcome outcome;
  outcome.seen = std::make_shared<Observation>();
  Observation& seen = *outcome.seen;
  const auto server = StartServer(cell.server, outcome.seen);
  testing::TcpProxy proxy(server->address());
  const auto channel = CreateChannel(
      cell.event == Event::kDisconnect ? proxy.address() : server->address(),
      grpc::InsecureChannelCredentials(), {}, testing::OwnConnection());
  // Connect first, so that connecting uses none of the deadline.
  EXPECT_TRUE(
      channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp)));

  const auto [upstream, cancel_upstream] = WithCancel(Background());
  const auto [ctx, cancel_ctx] = WithTimeout(
      upstream,
      cell.event == Event::kDeadline ? timeout : absl::InfiniteDuration());
  std::optional<ClientCall> call_of_ctx;
  std::optional<grpc::ClientContext> plain;
  std::optional<ScopedContext> current;
  if (binding == Binding::kClientCall) {
    // The callee has much less time, so that it is usually the first to notice
    // that the deadline has passed.
    CallOptions options;
    options.reserve = Reserve{timeout / 4, 0, timeout / 4};
    call_of_ctx.emplace(ctx, options);
  } else {
    current.emplace(ctx);
    plain.emplace();
  }
  grpc::ClientContext& call = call_of_ctx ? *call_of_ctx : *plain;
  if (cell.event == Event::kClientCancelEarly) call.TryCancel();
  if (cell.event == Event::kUpstreamCancelEarly) {
    cancel_upstream(absl::UnavailableError(kUpstreamCause));
  }

  absl::Notification answered;
  std::thread events([&, &leave = cancel_upstream, &deadline_ctx = ctx] {
    outcome.event_at = deadline_ctx.Deadline();
    if (!AnswersAtOnce(cell.event) && !IsEarly(cell.event) &&
        cell.event != Event::kDeadline) {
      EXPECT_TRUE(seen.waiting.WaitForNotificationWithTimeout(kGiveUp));
      outcome.event_at = absl::Now();
      switch (cell.event) {
        case Event::kClientCancel:
          call.TryCancel();
          break;
        case Event::kUpstreamCancel:
          leave(absl::UnavailableError(kUpstreamCause));
          break;
        case Event::kDisconnect:
          proxy.Cut(testing::TcpProxy::How::kReset);
          break;
        case Event::kShutdown:
          outcome.event_at += kGrace;
          server->Shutdown(kGrace);
          break;
        default:
          break;
      }
    }
    if (!answered.WaitForNotificationWithTimeout(kGiveUp)) {
      ADD_FAILURE() << "the client waits for ever";
      call.TryCancel();
      server->Shutdown(absl::ZeroDuration());
    }
  });
  outcome.reply = Call(cell.client, cell.kind, channel, &call,
                       cell.event == Event::kServerError ? Request::kFail
                       : AnswersAtOnce(cell.event)       ? Request::kAnswer
                                                         : Request::kWait);
  if (call_of_ctx) outcome.reason = EndReasonOf(*call_of_ctx);
  answered.Notify();
  events.join();

  if (cell.event == Event::kClientCancelLate) call.TryCancel();
  if (cell.event == Event::kUpstreamCancelLate) cancel_upstream();
  if (seen.waiting.HasBeenNotified()) {
    EXPECT_TRUE(seen.ended.WaitForNotificationWithTimeout(kGiveUp));
    outcome.lag = seen.deadline - ctx.Deadline();
  }
  server->Shutdown(kGiveUp);
  return outcome;
}

void MatrixTest::CheckReply(const Cell& cell, const Reply& reply) {
  const grpc::Status& status = reply.status;
  const bool streams_back =
      cell.kind == Kind::kDownload || cell.kind == Kind::kChat;
  switch (cell.event) {
    case Event::kOk:
    case Event::kClientCancelLate:
    case Event::kUpstreamCancelLate:
      EXPECT_EQ(status.error_code(), grpc::StatusCode::OK);
      EXPECT_EQ(status.error_message(), "");
      EXPECT_EQ(reply.messages, streams_back ? kMessages : 1);
      return;
    case Event::kServerError:
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
      EXPECT_EQ(status.error_message(), kFailure);
      break;
    case Event::kClientCancelEarly:
    case Event::kClientCancel:
      // gRPC chooses the message.
      EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
      break;
    case Event::kUpstreamCancelEarly:
    case Event::kUpstreamCancel:
      EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
      EXPECT_EQ(status.error_message(),
                std::string("context canceled: ") + kUpstreamCause);
      break;
    case Event::kDeadline:
      EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
      // The message names the user of the time. On a busy machine that may be
      // the network.
      EXPECT_THAT(
          status.error_message(),
          ::testing::MatchesRegex(
              "context deadline exceeded: [0-9.]+m?s( .deadline "
              "[0-9.]+m?s.)?, of which (network to probe |probe\\.).*"));
      break;
    case Event::kDisconnect:
    case Event::kShutdown:
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE)
          << status.error_message();
      break;
  }
  EXPECT_LE(reply.messages, streams_back ? 1 : 0);
}

void MatrixTest::CheckReason(const Cell& cell, EndReason reason) {
  SCOPED_TRACE(EndReasonName(reason));
  switch (cell.event) {
    case Event::kOk:
    case Event::kClientCancelLate:
    case Event::kUpstreamCancelLate:
    case Event::kServerError:
      EXPECT_EQ(reason, EndReason::kCompleted);
      break;
    case Event::kClientCancelEarly:
    case Event::kClientCancel:
    case Event::kUpstreamCancelEarly:
    case Event::kUpstreamCancel:
      EXPECT_EQ(reason, EndReason::kCancelled);
      break;
    case Event::kDeadline:
      // Whichever side was first to notice.
      EXPECT_EQ(reason, EndReason::kOwnTimeout);
      break;
    case Event::kDisconnect:
      EXPECT_EQ(reason, EndReason::kConnectionLost);
      break;
    case Event::kShutdown:
      // The server may have closed the connection before it answered.
      EXPECT_THAT(reason, ::testing::AnyOf(EndReason::kCompleted,
                                           EndReason::kConnectionLost));
      break;
  }
}

void MatrixTest::CheckHandler(const Cell& cell, const Outcome& outcome) {
  Observation& seen = *outcome.seen;
  if (IsEarly(cell.event)) {
    EXPECT_EQ(seen.handlers, 0);
    return;
  }
  EXPECT_EQ(seen.handlers, 1);
  if (AnswersAtOnce(cell.event)) {
    absl::MutexLock lock(&seen.mutex);
    EXPECT_FALSE(seen.was_done);
    EXPECT_TRUE(seen.context.WaitFor(kPrompt));
    EXPECT_EQ(seen.context.Err(), absl::CancelledError("context canceled"));
    EXPECT_EQ(seen.context.Cause().message(), "the handler has returned");
    return;
  }
  ASSERT_TRUE(seen.ended.HasBeenNotified());
  EXPECT_LT(seen.ended_at - outcome.event_at, kPrompt);
  if (cell.event == Event::kDeadline) {
    EXPECT_EQ(seen.err,
              absl::DeadlineExceededError("context deadline exceeded"));
  } else {
    EXPECT_EQ(seen.err, absl::CancelledError("context canceled"));
    EXPECT_EQ(seen.cause.message(), "the caller cancelled the call or is gone");
  }
}

void MatrixTest::RunAndCheck(const Cell& cell, Binding binding) {
  // The timeout is long enough for the request to reach its handler. A busy
  // machine may be too slow for it, or the request may take longer than the
  // server allows for. Then the cell is repeated with a longer timeout.
  absl::Duration timeout = absl::Milliseconds(25);
  Outcome outcome = Run(cell, binding, timeout);
  while (cell.event == Event::kDeadline && timeout < kGiveUp &&
         (!outcome.seen->waiting.HasBeenNotified() ||
          outcome.lag > absl::Milliseconds(4))) {
    CheckReply(cell, outcome.reply);
    timeout *= 2;
    outcome = Run(cell, binding, timeout);
  }
  CheckReply(cell, outcome.reply);
  if (binding == Binding::kClientCall) CheckReason(cell, outcome.reason);
  CheckHandler(cell, outcome);
}

TEST_P(MatrixTest, EndsAsItShould) {
  RunAndCheck(GetParam(), Binding::kClientCall);
}

INSTANTIATE_TEST_SUITE_P(Cells, MatrixTest,
                         ::testing::ValuesIn(PossibleCells()),
                         [](const auto& param_info) {
                           return Name(param_info.param);
                         });

// The effects of a context on a call, with plain ClientContexts.
class CurrentTest : public MatrixTest {};

std::vector<Cell> CurrentCells() {
  std::vector<Cell> cells;
  for (const Cell& cell : PossibleCells()) {
    if (cell.server == ServerStyle::kSync &&
        (cell.event == Event::kUpstreamCancelEarly ||
         cell.event == Event::kUpstreamCancel ||
         cell.event == Event::kUpstreamCancelLate ||
         cell.event == Event::kDeadline)) {
      cells.push_back(cell);
    }
  }
  return cells;
}

TEST_P(CurrentTest, EndsAsItShould) {
  RunAndCheck(GetParam(), Binding::kCurrent);
}

INSTANTIATE_TEST_SUITE_P(Cells, CurrentTest,
                         ::testing::ValuesIn(CurrentCells()),
                         [](const auto& param_info) {
                           return Name(param_info.param);
                         });

TEST(MatrixCellsTest, ThoseThatRunAndThoseThatAreImpossibleAddUp) {
  const size_t all = std::size(kServerStyles) * std::size(kClientStyles) *
                     std::size(kKinds) * std::size(kEvents);
  size_t impossible = 0;
  for (ServerStyle server : kServerStyles) {
    for (ClientStyle client : kClientStyles) {
      for (Kind kind : kKinds) {
        for (Event event : kEvents) {
          int reasons = 0;
          for (const Impossible& cells : ImpossibleCells()) {
            EXPECT_STRNE(cells.reason, "");
            if (cells.Covers({server, client, kind, event})) ++reasons;
          }
          EXPECT_LE(reasons, 1);
          impossible += reasons;
        }
      }
    }
  }
  EXPECT_EQ(PossibleCells().size() + impossible, all);
}

}  // namespace
}  // namespace tether::matrix
