// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/fetch.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "observability/tetherctl/testing/inspected.h"
#include "observability/tetherctl/testing/sample.h"
#include "tether/context.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "tether/testing/give_up.h"

namespace tether::ctl {
namespace {

using ::testing::HasSubstr;
using testing::Inspected;
using testing::Sample;
using ::testing::StartsWith;
using tether::testing::kGiveUp;

class FetchTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  static Processes To(const std::vector<std::string>& addresses,
                      absl::Duration timeout = kGiveUp) {
    return Connect(addresses, grpc::InsecureChannelCredentials(), timeout);
  }

  static v1::Snapshot Orders() { return Sample().processes(1).snapshot(); }
};

TEST_F(FetchTest, AsksEachProcessAndKeepsTheirOrder) {
  const Inspected storefront(Sample().processes(0).snapshot());
  const Inspected orders(Orders());
  const Snapshots snapshots =
      ListAll(Background(),
              To({orders.address(), "127.0.0.1:1", storefront.address()}), {});
  ASSERT_EQ(snapshots.processes_size(), 3);
  EXPECT_EQ(snapshots.processes(0).address(), orders.address());
  EXPECT_EQ(snapshots.processes(0).snapshot().process(), "orders");
  EXPECT_EQ(snapshots.processes(0).snapshot().requests_size(), 3);
  // Nearly always "Connection refused".
  EXPECT_THAT(snapshots.processes(1).error(), StartsWith("no connection: "));
  EXPECT_EQ(snapshots.processes(2).snapshot().process(), "storefront");
}

TEST_F(FetchTest, PassesTheFiltersOn) {
  v1::ListRequest asked;
  const Inspected orders([&](const v1::ListRequest& list) {
    if (list.trace_id() == testing::kTrace) asked = list;
    return Orders();
  });
  v1::ListRequest list;
  list.set_trace_id(testing::kTrace);
  list.set_method_contains("Get");
  ListAll(Background(), To({orders.address()}), list);
  EXPECT_EQ(asked.method_contains(), "Get");
}

TEST_F(FetchTest, ASilentProcessDelaysNobodyForLongerThanTheTimeout) {
  absl::Notification over;
  const Inspected silent([&](const v1::ListRequest&) {
    over.WaitForNotification();
    return v1::Snapshot();
  });
  const Inspected orders(Orders());
  const absl::Time begin = absl::Now();
  const Snapshots snapshots =
      ListAll(Background(),
              To({silent.address(), orders.address()}, absl::Seconds(1)), {});
  EXPECT_LT(absl::Now() - begin, kGiveUp);
  EXPECT_EQ(snapshots.processes(0).error(), "no answer within 1s");
  // Nor is it older for that.
  EXPECT_EQ(snapshots.processes(1).snapshot().requests(1).age_us(), 258'000);
  over.Notify();
}

TEST_F(FetchTest, AnswersOfDifferentMomentsAreAligned) {
  const Inspected early(Orders());
  const Inspected late([](const v1::ListRequest&) {
    absl::SleepFor(absl::Milliseconds(300));
    return Orders();
  });
  const Snapshots snapshots =
      ListAll(Background(), To({early.address(), late.address()}), {});
  const v1::InFlightRequest& older =
      snapshots.processes(0).snapshot().requests(1);
  // Each answer is made of two snapshots, so the late one takes 600 ms. The
  // other one may be late, too, on a loaded machine.
  EXPECT_GT(older.age_us(), 258'000 + 100'000);
  EXPECT_EQ(older.age_us() - 258'000, 700'000 - older.time_left_us());
  EXPECT_EQ(older.age_us() - 258'000, older.waits_for(0).age_us() - 257'000);
  EXPECT_EQ(snapshots.processes(1).snapshot().requests(1).age_us(), 258'000);
  // A request without a deadline still has none.
  EXPECT_FALSE(
      snapshots.processes(0).snapshot().requests(2).has_time_left_us());
}

TEST_F(FetchTest, TheEndOfTheContextEndsTheQuestion) {
  absl::Notification asked;
  absl::Notification over;
  const Inspected silent([&](const v1::ListRequest&) {
    if (!asked.HasBeenNotified()) asked.Notify();
    over.WaitForNotification();
    return v1::Snapshot();
  });
  const Processes processes = To({silent.address()});
  auto [ctx, cancel] = WithCancel(Background());
  std::thread leaves([&, &end = cancel] {
    asked.WaitForNotification();
    end();
  });
  const absl::Time begin = absl::Now();
  const Snapshots snapshots = ListAll(ctx, processes, {});
  EXPECT_LT(absl::Now() - begin, kGiveUp / 2);
  EXPECT_EQ(snapshots.processes(0).error(), "the question was cancelled");
  leaves.join();
  over.Notify();
}

TEST_F(FetchTest, AServerWithoutAnInspectorSaysHowToAddOne) {
  grpc::ServerBuilder builder;
  tether::testing::Probe::Service other;
  builder.RegisterService(&other);
  const tether::testing::LoopbackServer server =
      tether::testing::ListenOnLoopback(builder);
  const Snapshots snapshots = ListAll(Background(), To({server.address}), {});
  EXPECT_THAT(snapshots.processes(0).error(),
              HasSubstr("tether::MakeInspectorService()"));
  server.server->Shutdown();
}

TEST_F(FetchTest, AHostileServerIsCleaned) {
  v1::Snapshot snapshot;
  snapshot.set_process("\x1b[2J");
  snapshot.add_requests()->set_age_us(std::numeric_limits<int64_t>::max());
  const Inspected hostile(snapshot);
  const Snapshots snapshots =
      ListAll(Background(), To({hostile.address()}), {});
  EXPECT_EQ(snapshots.processes(0).snapshot().process(), "?[2J");
}

TEST_F(FetchTest, AnAnswerBeyondTheLimitIsAnErrorThatSaysSo) {
  v1::Snapshot snapshot;
  snapshot.set_process(std::string(3'900'000, 'x'));
  v1::PropagationHealth health;
  health.set_process(std::string(3'900'000, 'x'));
  const Inspected large(snapshot, health);
  snapshot.set_process(std::string(4'300'000, 'x'));
  health.set_process(std::string(4'300'000, 'x'));
  const Inspected too_large(snapshot, health);
  const Processes processes = To({large.address(), too_large.address()});
  const std::string error =
      "the answer is larger than tetherctl accepts (4 MiB)";

  const Snapshots snapshots = ListAll(Background(), processes, {});
  EXPECT_THAT(snapshots.processes(0).snapshot().process(), StartsWith("xxx"));
  EXPECT_FALSE(snapshots.processes(1).has_snapshot());
  EXPECT_EQ(snapshots.processes(1).error(), error);
  const Diagnoses diagnoses = DiagnoseAll(Background(), processes);
  EXPECT_THAT(diagnoses.processes(0).health().process(), StartsWith("xxx"));
  EXPECT_FALSE(diagnoses.processes(1).has_health());
  EXPECT_EQ(diagnoses.processes(1).error(), error);
}

TEST_F(FetchTest, DiagnosesAreAskedFor) {
  v1::PropagationHealth health;
  health.set_process("orders");
  health.add_findings()->set_what("\n");
  const Inspected counting(v1::Snapshot(), health);
  const Inspected not_counting{v1::Snapshot()};
  const Diagnoses diagnoses = DiagnoseAll(
      Background(),
      To({counting.address(), not_counting.address(), "127.0.0.1:1"}));
  ASSERT_EQ(diagnoses.processes_size(), 3);
  EXPECT_EQ(diagnoses.processes(0).health().process(), "orders");
  EXPECT_EQ(diagnoses.processes(0).health().findings(0).what(), "?");
  EXPECT_THAT(diagnoses.processes(1).error(),
              HasSubstr("tether::StartMetrics"));
  EXPECT_THAT(diagnoses.processes(2).error(), StartsWith("no connection: "));
}

TEST(ErrorTextTest, IsOneLineForPeople) {
  const auto text = [](grpc::StatusCode code, const std::string& message) {
    return ErrorText(grpc::Status(code, message), absl::Milliseconds(1500));
  };
  EXPECT_EQ(text(grpc::StatusCode::DEADLINE_EXCEEDED, "x"),
            "no answer within 1.5s");
  EXPECT_EQ(text(grpc::StatusCode::UNAVAILABLE,
                 "failed to connect to all addresses; last error: UNKNOWN: "
                 "ipv4:127.0.0.1:1: Failed to connect to remote host: "
                 "Connection refused"),
            "no connection: Connection refused");
  EXPECT_EQ(text(grpc::StatusCode::UNAVAILABLE, "the server shuts down"),
            "no connection: the server shuts down");
  EXPECT_THAT(text(grpc::StatusCode::UNIMPLEMENTED, ""),
              HasSubstr("tether::MakeInspectorService()"));
  EXPECT_EQ(text(grpc::StatusCode::PERMISSION_DENIED, "operators only"),
            "PERMISSION_DENIED: operators only");
  EXPECT_EQ(text(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many callers"),
            "RESOURCE_EXHAUSTED: too many callers");
  EXPECT_EQ(text(grpc::StatusCode::INTERNAL, "\x1b[31m\n"), "INTERNAL: ?[31m?");
  EXPECT_EQ(text(grpc::StatusCode::INTERNAL, std::string(9999, 'x')).size(),
            160u);
}

}  // namespace
}  // namespace tether::ctl
