// SPDX-License-Identifier: Apache-2.0
//
// ServerOptions::on_finish in the cases that aren't about styles: requests that
// nobody answers, that tether ends, and observers that throw.
// (integration_tests/matrix/on_finish_test.cc runs it in every style.)

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/report_options.h"
#include "tether/grpc/request_summary.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;

class OnFinishTest : public testing::FrontAndLeaf {
 protected:
  ~OnFinishTest() override { Stop(); }

  void TearDown() override {
    Stop();
    Take();
    FrontAndLeaf::TearDown();
  }

  // Options of a server whose summaries Take() returns.
  ServerOptions Observed(ServerOptions options = {}) {
    options.on_finish = [this](const RequestSummary& request) {
      internal::MutexLock lock(mutex_);
      finished_.push_back(request);
      one_more_.NotifyAll();
    };
    return options;
  }

  static std::shared_ptr<grpc::Channel> Channel(const std::string& address) {
    return CreateChannel(address, grpc::InsecureChannelCredentials(), {},
                         testing::OwnConnection());
  }

  // Calls `method`, whether the server has it or not.
  static grpc::Status CallGeneric(std::shared_ptr<grpc::Channel> channel,
                                  const std::string& method) {
    grpc::GenericStub stub(std::move(channel));
    ClientCall call{Background()};
    grpc::CompletionQueue queue;
    grpc::ByteBuffer reply;
    grpc::Status status;
    const auto rpc =
        stub.PrepareUnaryCall(&call, method, grpc::ByteBuffer(), &queue);
    rpc->StartCall();
    rpc->Finish(&reply, &status, &call);
    void* tag;
    bool ok;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    queue.Shutdown();
    EXPECT_FALSE(queue.Next(&tag, &ok));
    return status;
  }

  // Waits until `count` requests have finished.
  void AwaitFinished(size_t count) {
    const auto give_up =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kGiveUp);
    internal::MutexLock lock(mutex_);
    while (finished_.size() < count &&
           std::chrono::steady_clock::now() < give_up) {
      one_more_.WaitUntil(mutex_, give_up);
    }
  }

  std::vector<RequestSummary> Take() {
    internal::MutexLock lock(mutex_);
    return std::exchange(finished_, {});
  }

 private:
  internal::Mutex mutex_;
  internal::CondVar one_more_;
  std::vector<RequestSummary> finished_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(OnFinishTest, AnExceptionIsCountedAndTheCallerHasItsAnswer) {
  Options options;
  options.front->on_finish = [](const RequestSummary&) {
    throw std::runtime_error("no metrics today");
  };
  Start(options);
  const int64_t before = GetGrpcStats().exceptions;
  EXPECT_TRUE(Call(kGiveUp).first.ok());
  EXPECT_EQ(GetGrpcStats().exceptions, before + 1);
}

TEST_F(OnFinishTest, IsCalledBeforeTheCallerHasItsAnswer) {
  Options options;
  options.front = Observed();
  Start(options);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Call(kGiveUp).first.ok());
    EXPECT_EQ(Take().size(), 1u);
  }
}

// gRPC answers INTERNAL for it, and runs no handler.
TEST_F(OnFinishTest, ACallerThatLeavesBeforeItsMessageIsNoErrorOfTheServer) {
  Options options;
  options.leaf = Observed();
  Start(options);
  const auto channel = Channel(leaf_->address());
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  {
    ClientCall call{Background()};
    const auto stream =
        stub.PrepareCall(&call, "/tether.testing.Probe/Unary", &queue);
    stream->StartCall(&call);  // sends the headers alone
    void* tag;
    bool ok;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    // Newer gRPC may complete that before it writes them. The connection keeps
    // the order, so the server has them once it has answered a later call.
    EXPECT_EQ(
        CallGeneric(channel, "/tether.testing.Probe/Nothing").error_code(),
        grpc::StatusCode::UNIMPLEMENTED);
    call.TryCancel();
    grpc::Status status;
    stream->Finish(&status, &call);
    EXPECT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
    queue.Shutdown();
    EXPECT_FALSE(queue.Next(&tag, &ok));
  }
  // A server that shuts down drops calls that it hasn't begun to serve, and
  // this one begins when its caller has left.
  AwaitFinished(2);
  const std::vector<RequestSummary> finished = Take();
  ASSERT_EQ(finished.size(), 2u);
  EXPECT_EQ(finished[0].code, grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(finished[1].method, "/tether.testing.Probe/Unary");
  EXPECT_FALSE(finished[1].answered);
  EXPECT_EQ(finished[1].code, grpc::StatusCode::CANCELLED);
  EXPECT_EQ(finished[1].reason, EndReason::kCallerLeft);
}

// An edge reports nothing to strangers, but knows itself where the time went.
TEST_F(OnFinishTest, AnEdgeHasTheReportOfItsOwnCalls) {
  Options options = Reporting(ReportOptions::When::kAlways);
  ServerOptions edge;
  edge.edge.emplace();
  options.front = Observed(edge);
  at_leaf_ = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::DATA_LOSS, "");
  };
  Start(options);
  const auto [status, report] = Call(kGiveUp);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_FALSE(report.has_report());
  const std::vector<RequestSummary> finished = Take();
  ASSERT_EQ(finished.size(), 1u);
  ASSERT_TRUE(finished[0].report.has_value());
  ASSERT_EQ(finished[0].report->calls_size(), 1);
  EXPECT_TRUE(finished[0].report->calls(0).has_report());
}

TEST_F(OnFinishTest, ACodeThatTetherSendsForTheHandlerCounts) {
  Options options;
  options.front->time.max_timeout = absl::Milliseconds(20);
  options.front->answer_grace = absl::ZeroDuration();
  options.front = Observed(*options.front);
  absl::Notification over;
  at_front_ = [&](grpc::ServerContext&) {
    over.WaitForNotificationWithTimeout(kGiveUp);
    return grpc::Status::OK;
  };
  Start(options);
  EXPECT_EQ(Call(kGiveUp).first.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Take().empty());  // the handler still works
  over.Notify();
  Stop();
  const std::vector<RequestSummary> finished = Take();
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0].code, grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(finished[0].reason, EndReason::kOwnTimeout);
  EXPECT_TRUE(finished[0].answered);
}

// gRPC's sync API doesn't tell its name.
TEST_F(OnFinishTest, AMethodThatTheServerDoesNotHave) {
  const char* const kMethod = "/tether.testing.Probe/Nothing";
  for (const bool callback_api : {false, true}) {
    SCOPED_TRACE(callback_api);
    {
      testing::ProbeServer server({callback_api, Observed(), {}});
      EXPECT_EQ(CallGeneric(Channel(server.address()), kMethod).error_code(),
                grpc::StatusCode::UNIMPLEMENTED);
    }
    const std::vector<RequestSummary> finished = Take();
    ASSERT_EQ(finished.size(), 1u);
    EXPECT_EQ(finished[0].method, callback_api ? kMethod : "unknown");
    EXPECT_EQ(finished[0].code, grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_TRUE(finished[0].answered);
    EXPECT_EQ(finished[0].reason, EndReason::kCompleted);
  }
}

// A server with a completion queue that destroys a call without an answer.
TEST_F(OnFinishTest, ARequestThatNobodyAnswers) {
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  builder.RegisterAsyncGenericService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue =
      builder.AddCompletionQueue();
  InstallServer(builder, Observed());
  testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  absl::Notification dropped;
  std::thread server([&] {
    auto sc = std::make_unique<grpc::GenericServerContext>();
    auto stream =
        std::make_unique<grpc::GenericServerAsyncReaderWriter>(sc.get());
    service.RequestCall(sc.get(), stream.get(), queue.get(), queue.get(),
                        sc.get());
    void* tag;
    bool ok;
    EXPECT_TRUE(queue->Next(&tag, &ok) && ok);
    stream.reset();
    sc.reset();
    dropped.Notify();
    while (queue->Next(&tag, &ok)) {
    }
  });
  {
    auto stub = testing::ProbeStub(started.address);
    ClientCall call{Background()};
    std::thread canceller([&] {
      EXPECT_TRUE(dropped.WaitForNotificationWithTimeout(kGiveUp));
      call.TryCancel();
    });
    Pong pong;
    EXPECT_EQ(stub->Unary(&call, Ping(), &pong).error_code(),
              grpc::StatusCode::CANCELLED);
    canceller.join();
  }
  started.server->Shutdown();
  queue->Shutdown();
  server.join();
  started.server.reset();
  const std::vector<RequestSummary> finished = Take();
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_FALSE(finished[0].answered);
  EXPECT_EQ(finished[0].code, grpc::StatusCode::CANCELLED);
  EXPECT_EQ(finished[0].reason, EndReason::kCallerLeft);
  ASSERT_TRUE(finished[0].report.has_value());
  EXPECT_EQ(finished[0].report->reason(), v1::END_REASON_CALLER_LEFT);
}

}  // namespace
}  // namespace tether
