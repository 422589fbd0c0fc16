// SPDX-License-Identifier: Apache-2.0
//
// The service tether.v1.Inspector over real connections, with scripted sources.

#include "tether/observability/inspector_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/observability/internal/inspector.h"
#include "tether/observability/snapshot.h"
#include "tether/testing/give_up.h"
#include "tether/v1/inspector.grpc.pb.h"

namespace tether {
namespace {

using testing::kGiveUp;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

class InspectorServiceTest : public testing::GrpcLeakCheckedTest {
 protected:
  struct Setup {
    InspectorOptions options;
    std::optional<ServerOptions> tether;
    // Instead of the scripted sources.
    std::unique_ptr<grpc::Service> service;
  };

  void Start() { Start(Setup()); }
  void Start(Setup setup) {
    service_ =
        setup.service != nullptr
            ? std::move(setup.service)
            : internal::MakeInspectorService(
                  std::move(setup.options),
                  {[this](const v1::ListRequest& list) { return Take(list); },
                   [this] { return health_; }});
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    if (setup.tether) InstallServer(builder, *std::move(setup.tether));
    server_ = testing::ListenOnLoopback(builder);
    const auto channel = grpc::CreateCustomChannel(
        server_.address, grpc::InsecureChannelCredentials(),
        testing::OwnConnection());
    channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kGiveUp));
    stub_ = v1::Inspector::NewStub(channel);
  }

  void TearDown() override {
    stub_.reset();
    if (server_.server != nullptr) {
      server_.server->Shutdown(absl::ToChronoTime(absl::Now()));
    }
    server_.server.reset();
    service_.reset();
    GrpcLeakCheckedTest::TearDown();
  }

  // The scripted source of snapshots.
  v1::Snapshot Take(const v1::ListRequest& list) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (list.method_contains() != "/tether.v1.Inspector/") {
      ++taken_;
      asked_ = list;
    }
    return take_(list);
  }

  int taken() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return taken_;
  }
  // What the last snapshot was taken for.
  v1::ListRequest asked() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return asked_;
  }
  // Waits until no snapshot is taken for a second, ten times the interval: then
  // a write waits for its reader. Returns how many were taken.
  int TakenUntilStalled() {
    const absl::Time give_up = absl::Now() + kGiveUp;
    int before;
    do {
      before = taken();
      absl::SleepFor(absl::Seconds(1));
    } while ((before == 0 || taken() != before) && absl::Now() < give_up);
    return taken();
  }
  void SetTake(std::function<v1::Snapshot(const v1::ListRequest&)> take) {
    const std::lock_guard<std::mutex> lock(mutex_);
    take_ = std::move(take);
  }

  std::pair<grpc::Status, v1::Snapshot> List(const v1::ListRequest& list) {
    grpc::ClientContext call;
    std::pair<grpc::Status, v1::Snapshot> result;
    result.first = stub_->List(&call, list, &result.second);
    return result;
  }

  grpc::Status GetHealth(v1::PropagationHealth* health) {
    grpc::ClientContext call;
    return stub_->GetPropagationHealth(&call, {}, health);
  }

  // The status of a Watch whose snapshots are read until it ends.
  grpc::Status WatchToItsEnd(const v1::WatchRequest& request = {}) {
    grpc::ClientContext call;
    const auto reader = stub_->Watch(&call, request);
    v1::Snapshot snapshot;
    while (reader->Read(&snapshot)) {
    }
    return reader->Finish();
  }

  // A Watch of this size has 10 snapshots a second, if it is read.
  static v1::WatchRequest Often() {
    v1::WatchRequest request;
    request.set_interval_us(1);
    return request;
  }

  testing::LoopbackServer server_;
  std::unique_ptr<v1::Inspector::Stub> stub_;
  std::optional<v1::PropagationHealth> health_;

 private:
  std::unique_ptr<grpc::Service> service_;
  std::mutex mutex_;
  int taken_ = 0;
  v1::ListRequest asked_;
  std::function<v1::Snapshot(const v1::ListRequest&)> take_ =
      [](const v1::ListRequest&) { return v1::Snapshot(); };
};

v1::ListRequest ListWith(const std::string& trace_id, int max_entries) {
  v1::ListRequest list;
  list.set_trace_id(trace_id);
  list.set_max_entries(max_entries);
  return list;
}

// A process that serves what is listed here, and filters as Inspect does.
v1::Snapshot Serving(const std::vector<std::string>& requests,
                     const std::vector<std::string>& calls,
                     const v1::ListRequest& list) {
  v1::Snapshot snapshot;
  snapshot.set_requests_in_flight(static_cast<int64_t>(requests.size()));
  snapshot.set_calls_in_flight(static_cast<int64_t>(calls.size()));
  for (const std::string& method : requests) {
    if (method.find(list.method_contains()) == std::string::npos) continue;
    if (snapshot.requests_size() == list.max_entries()) break;
    snapshot.add_requests()->set_method(method);
  }
  for (const std::string& method : calls) {
    if (method.find(list.method_contains()) == std::string::npos) continue;
    if (snapshot.other_calls_size() == list.max_entries()) break;
    snapshot.add_other_calls()->set_method(method);
  }
  return snapshot;
}

// A few of them fill the buffers of a connection.
v1::Snapshot LargeSnapshot() {
  v1::Snapshot snapshot;
  snapshot.set_process(std::string(2 << 20, 'x'));
  return snapshot;
}

TEST_F(InspectorServiceTest, ListPassesTheFiltersOnAndTheSnapshotBack) {
  Start();
  SetTake([](const v1::ListRequest&) {
    v1::Snapshot snapshot;
    snapshot.set_process("orders");
    return snapshot;
  });
  v1::ListRequest list = ListWith("4BF92F3577B34DA6A3CE929D0E0E4736", 7);
  list.set_method_contains("GetOrder");
  const auto [status, snapshot] = List(list);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(snapshot.process(), "orders");
  EXPECT_EQ(asked().method_contains(), "GetOrder");
  EXPECT_EQ(asked().trace_id(), kTrace);
  EXPECT_EQ(asked().max_entries(), 7);
}

TEST_F(InspectorServiceTest, TheNumberOfEntriesHasADefaultAndAMaximum) {
  Start();
  EXPECT_TRUE(List({}).first.ok());
  EXPECT_EQ(asked().max_entries(), 1000);
  EXPECT_TRUE(List(ListWith("", 2'000'000'000)).first.ok());
  EXPECT_EQ(asked().max_entries(), 10'000);
}

TEST_F(InspectorServiceTest, NonsenseIsAnInvalidArgument) {
  Start();
  const auto list_code = [&](const std::string& trace_id, int max_entries) {
    const v1::ListRequest list = ListWith(trace_id, max_entries);
    v1::WatchRequest watch;
    *watch.mutable_list() = list;
    const grpc::StatusCode code = List(list).first.error_code();
    if (code != grpc::StatusCode::OK) {
      EXPECT_EQ(WatchToItsEnd(watch).error_code(), code);
    }
    return code;
  };
  EXPECT_EQ(list_code("", -1), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(list_code("4bf9", 0), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(list_code(absl::StrCat(kTrace, "0"), 0),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(list_code("4bf92f3577b34da6a3ce929d0e0e473g", 0),
            grpc::StatusCode::INVALID_ARGUMENT);
  v1::WatchRequest watch;
  watch.set_interval_us(-1);
  EXPECT_EQ(WatchToItsEnd(watch).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(taken(), 0);
  // The control.
  EXPECT_EQ(list_code(kTrace, 1), grpc::StatusCode::OK);
}

TEST_F(InspectorServiceTest, ItsOwnRequestsAreNeitherListedNorCounted) {
  Start();
  SetTake([](const v1::ListRequest& list) {
    return Serving({"/tether.v1.Inspector/List", "/tether.v1.Inspector/Watch",
                    "/shop.v1.Orders/GetOrder", "/shop.v1.Orders/Cancel"},
                   {"/tether.v1.Inspector/List", "/shop.v1.Orders/Audit"},
                   list);
  });
  // They take no room in the list, either.
  const auto [status, snapshot] = List(ListWith("", 1));
  EXPECT_EQ(snapshot.requests_in_flight(), 2);
  EXPECT_EQ(snapshot.calls_in_flight(), 1);
  ASSERT_EQ(snapshot.requests_size(), 1);
  EXPECT_EQ(snapshot.requests(0).method(), "/shop.v1.Orders/GetOrder");
  ASSERT_EQ(snapshot.other_calls_size(), 1);
  EXPECT_EQ(snapshot.other_calls(0).method(), "/shop.v1.Orders/Audit");

  v1::ListRequest own;
  own.set_method_contains("Inspector");
  const auto [own_status, nothing] = List(own);
  EXPECT_EQ(nothing.requests_in_flight(), 2);
  EXPECT_EQ(nothing.requests_size(), 0);
  EXPECT_EQ(nothing.other_calls_size(), 0);
}

TEST_F(InspectorServiceTest, OwnRequestsThatEndMeanwhileLeaveNoNegativeCount) {
  Start();
  SetTake([](const v1::ListRequest& list) {
    return list.method_contains().empty()
               ? Serving({}, {}, list)
               : Serving({"/tether.v1.Inspector/List"}, {}, list);
  });
  EXPECT_EQ(List({}).second.requests_in_flight(), 0);
}

TEST_F(InspectorServiceTest, AWatchSendsASnapshotAtOnceAndThenOneEachInterval) {
  Start();
  std::vector<absl::Time> times;  // when the snapshots were taken
  SetTake([&](const v1::ListRequest& list) {
    if (list.method_contains() == "Get") times.push_back(absl::Now());
    return v1::Snapshot();
  });
  grpc::ClientContext call;
  v1::WatchRequest request = Often();
  request.mutable_list()->set_method_contains("Get");
  const auto reader = stub_->Watch(&call, request);
  v1::Snapshot snapshot;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(reader->Read(&snapshot));
  SetTake([](const v1::ListRequest&) { return v1::Snapshot(); });
  // The interval that was asked for is too short, so it is 100 ms. gRPC's clock
  // is another one.
  ASSERT_GE(times.size(), 4U);
  for (size_t i = 1; i < times.size(); ++i) {
    EXPECT_GE(times[i] - times[i - 1], absl::Milliseconds(50));
  }
  EXPECT_EQ(asked().method_contains(), "Get");
  call.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(InspectorServiceTest, AWatcherThatDoesNotReadGetsNoQueue) {
  Start();
  SetTake([](const v1::ListRequest&) { return LargeSnapshot(); });
  grpc::ClientContext idle_call;
  const auto idle = stub_->Watch(&idle_call, Often());
  // The buffers of the connection take some of them.
  const int taken_for_buffers = TakenUntilStalled();
  EXPECT_GE(taken_for_buffers, 1);
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(taken(), taken_for_buffers);
  // The control: it goes on when it is read.
  v1::Snapshot snapshot;
  for (int i = 0; i <= taken_for_buffers; ++i) {
    ASSERT_TRUE(idle->Read(&snapshot));
  }
  EXPECT_GT(taken(), taken_for_buffers);
  idle_call.TryCancel();
  EXPECT_EQ(idle->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(InspectorServiceTest, TooManyWatchersAreRefusedUntilOneLeaves) {
  Setup setup;
  setup.options.max_watchers = 1;
  Start(std::move(setup));
  grpc::ClientContext call;
  const auto reader = stub_->Watch(&call, {});
  v1::Snapshot snapshot;
  ASSERT_TRUE(reader->Read(&snapshot));
  EXPECT_EQ(WatchToItsEnd().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(List({}).first.ok());

  call.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  const absl::Time give_up = absl::Now() + kGiveUp;
  for (;;) {
    grpc::ClientContext next_call;
    const auto next = stub_->Watch(&next_call, {});
    const bool has_room = next->Read(&snapshot);
    next_call.TryCancel();
    next->Finish();
    if (has_room) break;
    ASSERT_LT(absl::Now(), give_up);
  }
}

TEST_F(InspectorServiceTest, AWatchEndsWhenTheServerShutsDown) {
  Start();
  grpc::ClientContext call;
  v1::WatchRequest request;
  request.set_interval_us(absl::ToInt64Microseconds(absl::Minutes(1)));
  const auto reader = stub_->Watch(&call, request);
  v1::Snapshot snapshot;
  ASSERT_TRUE(reader->Read(&snapshot));
  const absl::Time begin = absl::Now();
  server_.server->Shutdown(absl::ToChronoTime(begin));
  EXPECT_LT(absl::Now() - begin, kGiveUp);
  EXPECT_FALSE(reader->Read(&snapshot));
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_F(InspectorServiceTest, AWatchEndsWithItsContextWhereTetherIsInstalled) {
  auto [base, cancel_base] = WithCancel(Background());
  {
    Setup setup;
    setup.tether.emplace();
    setup.tether->base_context = base;
    // Nobody but the handler ends the call.
    setup.tether->answer_grace = absl::InfiniteDuration();
    Start(std::move(setup));
    grpc::ClientContext call;
    const auto reader = stub_->Watch(&call, {});
    v1::Snapshot snapshot;
    ASSERT_TRUE(reader->Read(&snapshot));
    ShutdownServer(*server_.server, cancel_base, absl::ZeroDuration());
    EXPECT_FALSE(reader->Read(&snapshot));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  server_.server.reset();
}

TEST_F(InspectorServiceTest, AContextThatEndsDuringAWriteEndsTheWatchAfterIt) {
  auto [base, cancel_base] = WithCancel(Background());
  Setup setup;
  setup.tether.emplace();
  setup.tether->base_context = base;
  setup.tether->answer_grace = absl::InfiniteDuration();
  Start(std::move(setup));
  SetTake([](const v1::ListRequest&) { return LargeSnapshot(); });
  grpc::ClientContext call;
  const auto reader = stub_->Watch(&call, Often());
  const int taken_before_end = TakenUntilStalled();
  cancel_base();
  v1::Snapshot snapshot;
  int read = 0;
  while (reader->Read(&snapshot)) ++read;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(read, taken_before_end);
}

TEST_F(InspectorServiceTest, AWatchEndsAtTheServersMaximumTime) {
  Setup setup;
  setup.tether.emplace();
  setup.tether->time.max_timeout = absl::Milliseconds(250);
  setup.tether->answer_grace = absl::InfiniteDuration();
  Start(std::move(setup));
  EXPECT_EQ(WatchToItsEnd(Often()).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_GE(taken(), 1);
}

TEST_F(InspectorServiceTest, AuthorizeDecidesAboutEachRpc) {
  std::atomic<bool> lets_in{false};
  Setup setup;
  setup.options.authorize = [&](const grpc::ServerContextBase& caller) {
    EXPECT_NE(caller.auth_context(), nullptr);
    return lets_in.load()
               ? grpc::Status::OK
               : grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no");
  };
  Start(std::move(setup));
  health_.emplace();
  v1::PropagationHealth health;
  EXPECT_EQ(List({}).first.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(WatchToItsEnd().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(GetHealth(&health).error_message(), "no");
  // Not even whether the arguments are right.
  EXPECT_EQ(List(ListWith("x", 0)).first.error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(taken(), 0);
  lets_in = true;
  EXPECT_TRUE(List({}).first.ok());
  EXPECT_TRUE(GetHealth(&health).ok());
}

TEST_F(InspectorServiceTest, AnExceptionOfAuthorizeIsAnInternalError) {
  Setup setup;
  setup.options.authorize = [](const grpc::ServerContextBase&) -> grpc::Status {
    throw std::runtime_error("secret");
  };
  Start(std::move(setup));
  const grpc::Status status = List({}).first;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(), "authorize threw an exception");
  EXPECT_EQ(WatchToItsEnd().error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(InspectorServiceTest, AnExceptionOfTheSourceEndsTheRpcAlone) {
  Start();
  grpc::ClientContext call;
  const auto reader = stub_->Watch(&call, Often());
  v1::Snapshot snapshot;
  ASSERT_TRUE(reader->Read(&snapshot));
  SetTake([](const v1::ListRequest&) -> v1::Snapshot {
    throw std::runtime_error("secret");
  });
  while (reader->Read(&snapshot)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(List({}).first.error_code(), grpc::StatusCode::INTERNAL);
  SetTake([](const v1::ListRequest&) { return v1::Snapshot(); });
  EXPECT_TRUE(List({}).first.ok());
}

TEST_F(InspectorServiceTest, HealthNeedsAProcessThatCounts) {
  Start();
  v1::PropagationHealth health;
  const grpc::Status status = GetHealth(&health);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(status.error_message().find("StartMetrics"), std::string::npos);
}

TEST_F(InspectorServiceTest, HealthIsNotAboutItself) {
  Start();
  health_.emplace();
  for (const char* method :
       {"/tether.v1.Inspector/Watch", "/shop.v1.Orders/GetOrder"}) {
    health_->add_findings()->set_method(method);
    health_->add_methods()->set_method(method);
  }
  v1::PropagationHealth health;
  ASSERT_TRUE(GetHealth(&health).ok());
  ASSERT_EQ(health.findings_size(), 1);
  EXPECT_EQ(health.findings(0).method(), "/shop.v1.Orders/GetOrder");
  ASSERT_EQ(health.methods_size(), 1);
  EXPECT_EQ(health.methods(0).method(), "/shop.v1.Orders/GetOrder");
}

TEST_F(InspectorServiceTest, ShowsThisProcess) {
  Setup setup;
  setup.service = MakeInspectorService();
  Start(std::move(setup));
  const auto [status, snapshot] = List({});
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(snapshot.process(), ProcessName());
  EXPECT_EQ(snapshot.pid(), getpid());
  // This test doesn't start to count.
  v1::PropagationHealth health;
  EXPECT_EQ(GetHealth(&health).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

// Callers that leave at any moment, with tether on the server and without.
TEST_F(InspectorServiceTest, WatchersThatLeaveAtAnyTimeLeaveNothingBehind) {
  for (const bool with_tether : {false, true}) {
    Setup setup;
    setup.options.max_watchers = 4;
    if (with_tether) setup.tether.emplace();
    Start(std::move(setup));
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([this, thread] {
        for (int i = 0; i < 15; ++i) {
          grpc::ClientContext call;
          // From before the first snapshot to after the second.
          call.set_deadline(absl::ToChronoTime(
              absl::Now() + absl::Milliseconds((thread * 15 + i) * 3)));
          const auto reader = stub_->Watch(&call, Often());
          v1::Snapshot snapshot;
          if (i % 5 == 0) call.TryCancel();
          while (i % 2 == 0 && reader->Read(&snapshot)) {
          }
          EXPECT_FALSE(reader->Finish().ok());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(taken(), 0);
    stub_.reset();
    // Returns when all calls are over.
    const absl::Time begin = absl::Now();
    server_.server->Shutdown(absl::ToChronoTime(begin + kGiveUp));
    EXPECT_LT(absl::Now() - begin, kGiveUp);
    server_.server.reset();
  }
}

}  // namespace
}  // namespace tether
