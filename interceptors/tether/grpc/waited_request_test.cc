// SPDX-License-Identifier: Apache-2.0
//
// Requests that wait before their handler begins, because the only thread of an
// async server is busy. Checks the time that is left, and which hop is blamed.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/internal/time.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ping;
using testing::Pong;
using testing::Probe;

class WaitedRequestTest : public testing::GrpcLeakCheckedTest {
 protected:
  struct Result {
    grpc::Status status;
    v1::CallReport report;
    absl::Duration left;      // according to the handler's context
    absl::Duration standard;  // according to grpc-timeout
  };

  // The server's thread accepts the request after `busy`. The handler waits for
  // the end of its context.
  static Result Call(absl::Duration timeout, absl::Duration busy,
                     const Reserve& reserve) {
    Result result;
    Probe::AsyncService service;
    grpc::ServerBuilder builder;
    builder.RegisterService(&service);
    InstallServer(builder);
    const auto cq = builder.AddCompletionQueue();
    const testing::LoopbackServer started = testing::ListenOnLoopback(builder);
    // Meanwhile a thread of gRPC reads the request.
    std::thread thread([&] {
      grpc::ServerContext sc;
      Ping ping;
      grpc::ServerAsyncResponseWriter<Pong> writer(&sc);
      service.RequestUnary(&sc, &ping, &writer, cq.get(), cq.get(), &sc);
      absl::SleepFor(busy);
      void* tag;
      bool ok;
      EXPECT_TRUE(cq->Next(&tag, &ok) && ok);
      const Context ctx = ContextOf(sc);
      result.left = ctx.Remaining();
      result.standard = internal::UntilDeadline(sc.raw_deadline());
      ctx.Wait();
      writer.Finish(Pong(), StatusOf(ctx), &sc);
      EXPECT_TRUE(cq->Next(&tag, &ok));
    });
    {
      ClientOptions options;
      options.reserve = reserve;
      const auto stub = testing::ProbeStub(started.address, options);
      auto [ctx, cancel] = WithTimeout(Background(), timeout);
      ClientCall call(ctx);
      Pong pong;
      result.status = stub->Unary(&call, Ping(), &pong);
      result.report = call.report();
    }
    thread.join();
    started.server->Shutdown();
    cq->Shutdown();
    void* tag;
    bool ok;
    while (cq->Next(&tag, &ok)) {
    }
    return result;
  }
};

constexpr absl::Duration kTimeout = absl::Milliseconds(2500);
constexpr absl::Duration kBusy = absl::Milliseconds(500);

TEST_F(WaitedRequestTest, TheReserveIsTakenOffWhatTheWaitHasLeft) {
  const Result result = Call(kTimeout, kBusy, Reserve());
  EXPECT_LT(result.standard, kTimeout - kBusy + absl::Milliseconds(50));
  // The two were read one after the other, both after the context was made.
  EXPECT_GT(result.standard - result.left, absl::Milliseconds(30));
  // 50 ms, and 12 ms because the channel is new (KeptTime).
  EXPECT_LT(result.standard - result.left, absl::Milliseconds(75));
}

TEST_F(WaitedRequestTest, ControlWithoutAWaitItIsTheCallersOwnBusiness) {
  const Result result = Call(kTimeout, absl::ZeroDuration(), Reserve::None());
  // The difference is the rounding of grpc-timeout.
  EXPECT_LT(result.standard - result.left, absl::Milliseconds(20));
}

// Repeated, because on a loaded machine the answer may not arrive within its 50
// ms.
TEST_F(WaitedRequestTest, TheHopThatUsedTheTimeUpIsNamed) {
  for (int attempt = 1;; ++attempt) {
    const Result result = Call(kTimeout, kBusy, Reserve());
    if (!result.report.has_report() && attempt < 10) continue;
    // 1.95 s and 500 ms. A thread that begins late waits longer.
    EXPECT_THAT(result.status.error_message(),
                ContainsRegex("probe.Unary 1[.0-9]+s, "
                              "network to probe [5-9][0-9][.0-9]+ms"));
    EXPECT_THAT(result.status.error_message(),
                Not(HasSubstr("did not answer")));
    break;
  }
}

}  // namespace
}  // namespace tether
