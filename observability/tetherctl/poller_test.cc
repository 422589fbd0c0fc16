// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/poller.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "observability/tetherctl/fetch.h"
#include "observability/tetherctl/testing/inspected.h"
#include "tether/context.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/give_up.h"

namespace tether::ctl {
namespace {

using ::testing::HasSubstr;
using testing::Inspected;
using tether::testing::kGiveUp;

class PollerTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  static Processes To(const std::vector<std::string>& addresses) {
    return Connect(addresses, grpc::InsecureChannelCredentials(), kGiveUp);
  }

  // The news that first satisfy `condition`.
  template <typename Condition>
  static Snapshots Await(Poller& poller, const Condition& condition) {
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (absl::Now() < give_up) {
      const std::optional<Snapshots> news = poller.News();
      if (news.has_value() && condition(*news)) return *news;
      absl::SleepFor(absl::Milliseconds(5));
    }
    ADD_FAILURE() << "waited in vain";
    return {};
  }

  static v1::Snapshot Named(const std::string& name) {
    v1::Snapshot snapshot;
    snapshot.set_process(name);
    return snapshot;
  }
};

TEST_F(PollerTest, ASilentProcessDelaysNoOther) {
  absl::Notification over;
  const Inspected silent([&](const v1::ListRequest&) {
    over.WaitForNotification();
    return v1::Snapshot();
  });
  int asked = 0;
  const Inspected orders([&](const v1::ListRequest&) {
    return Named("orders " + std::to_string(++asked));
  });
  const Processes processes = To({silent.address(), orders.address()});
  Poller poller(Background(), processes, {}, absl::Milliseconds(100));
  std::optional<Snapshots> first = poller.News();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->processes(0).address(), silent.address());
  const Snapshots news = Await(poller, [](const Snapshots& snapshots) {
    return snapshots.processes(1).snapshot().process() == "orders 6";
  });
  EXPECT_FALSE(news.processes(0).has_snapshot());
  EXPECT_FALSE(news.processes(0).has_error());
  over.Notify();
}

TEST_F(PollerTest, AProcessThatStartsLaterIsFound) {
  auto orders = std::make_unique<Inspected>(Named("old"));
  const int port = orders->port();
  const Processes processes = To({orders->address()});
  Poller poller(Background(), processes, {}, absl::Milliseconds(100));
  Await(poller, [](const Snapshots& snapshots) {
    return snapshots.processes(0).snapshot().process() == "old";
  });
  orders.reset();
  const Snapshots news = Await(poller, [](const Snapshots& snapshots) {
    return snapshots.processes(0).has_error();
  });
  EXPECT_THAT(news.processes(0).error(), HasSubstr("no connection"));
  orders = std::make_unique<Inspected>(Named("new"), std::nullopt, port);
  Await(poller, [](const Snapshots& snapshots) {
    return snapshots.processes(0).snapshot().process() == "new";
  });
}

TEST_F(PollerTest, OtherFiltersAreAskedForAtOnce) {
  const Inspected orders([](const v1::ListRequest& list) {
    return Named(list.method_contains());
  });
  const Processes processes = To({orders.address()});
  Poller poller(Background(), processes, {}, absl::Hours(1));
  Await(poller, [](const Snapshots& snapshots) {
    return snapshots.processes(0).has_snapshot();
  });
  v1::ListRequest list;
  list.set_method_contains("Get");
  poller.SetList(list);
  Await(poller, [](const Snapshots& snapshots) {
    return snapshots.processes(0).snapshot().process() == "Get";
  });
  // The control: the same filters change nothing.
  poller.SetList(list);
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_FALSE(poller.News().has_value());
}

TEST_F(PollerTest, EndsWhileItAsksAndWhileItWaits) {
  absl::Notification over;
  absl::Notification asked;
  const Inspected silent([&](const v1::ListRequest&) {
    if (!asked.HasBeenNotified()) asked.Notify();
    over.WaitForNotification();
    return v1::Snapshot();
  });
  const Inspected orders(Named("orders"));
  const Processes processes = To({silent.address(), orders.address()});
  absl::Time begin;
  {
    Poller poller(Background(), processes, {}, absl::Hours(1));
    Await(poller, [](const Snapshots& snapshots) {
      return snapshots.processes(1).has_snapshot();
    });
    asked.WaitForNotification();
    begin = absl::Now();
  }
  EXPECT_LT(absl::Now() - begin, kGiveUp / 2);
  over.Notify();
}

}  // namespace
}  // namespace tether::ctl
