// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/inspect.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;

constexpr char kMethod[] = "/tether.testing.Probe/Unary";

// Newer gRPC writes the scheme, even if the channel was made without.
std::string Address(const std::string& target) {
  constexpr char kScheme[] = "dns:///";
  return target.rfind(kScheme, 0) == 0 ? target.substr(sizeof(kScheme) - 1)
                                       : target;
}

// Inspect() until `is_right` of its result, or for kGiveUp.
template <typename IsRight>
InFlight InspectUntil(IsRight is_right, const InspectOptions& options = {}) {
  const absl::Time give_up = absl::Now() + kGiveUp;
  for (;;) {
    InFlight seen = Inspect(options);
    if (is_right(seen) || absl::Now() > give_up) return seen;
    std::this_thread::yield();
  }
}

InFlight InspectUntilRequests(size_t count) {
  return InspectUntil(
      [count](const InFlight& seen) { return seen.requests.size() == count; });
}

class InspectTest : public testing::FrontAndLeaf {
 protected:
  ~InspectTest() override {
    Release();
    Stop();
  }

  void Release() {
    if (!release_.HasBeenNotified()) release_.Notify();
  }

  // The leaf answers when Release() is called.
  void BlockLeaf() {
    at_leaf_ = [this](grpc::ServerContext&) {
      release_.WaitForNotification();
      return grpc::Status::OK;
    };
  }

  absl::Notification release_;
};

TEST_F(InspectTest, WithoutTrafficNothingIsInFlight) {
  Start();
  Call(kGiveUp);
  const InFlight seen = InspectUntilRequests(0);
  EXPECT_EQ(seen.requests_in_flight, 0);
  EXPECT_EQ(seen.calls_in_flight, 0);
  EXPECT_TRUE(seen.other_calls.empty());
}

TEST_F(InspectTest, ARequestWaitsForItsCallAndTheCalleeIsThere) {
  BlockLeaf();
  Start();
  const TraceContext trace = NewTrace(/*sampled=*/true);
  std::thread client([&] {
    const Cancellable caller =
        WithTimeout(WithRequestId(WithTrace(Background(), trace), "request-7"),
                    absl::Hours(1));
    ClientCall call(caller.ctx);
    Call(*to_front_, call);
  });
  const InFlight seen = InspectUntil([](const InFlight& now) {
    return now.requests.size() == 2 && now.calls_in_flight == 2;
  });
  ASSERT_EQ(seen.requests.size(), 2u);
  // The leaf has less time, since the front keeps a reserve.
  const InFlightRequest& leaf = seen.requests[0];
  const InFlightRequest& front = seen.requests[1];
  for (const InFlightRequest* request : {&leaf, &front}) {
    EXPECT_EQ(request->method, kMethod);
    EXPECT_EQ(request->trace_id, trace.TraceIdHex());
    EXPECT_EQ(request->request_id, "request-7");
    EXPECT_NE(request->peer.find("127.0.0.1"), std::string::npos)
        << request->peer;
    EXPECT_EQ(request->style, ApiStyle::kSync);
    EXPECT_EQ(request->deadline_owner, DeadlineOwner::kCaller);
    EXPECT_GE(request->age, absl::ZeroDuration());
    EXPECT_GT(request->time_left, absl::Minutes(55));
    EXPECT_EQ(request->ended_by, EndReason::kNone);
    EXPECT_FALSE(request->ended_ago.has_value());
  }
  EXPECT_LT(leaf.time_left, front.time_left);
  EXPECT_LE(leaf.age, front.age);
  EXPECT_TRUE(front.observed);  // by its call
  EXPECT_TRUE(leaf.waits_for.empty());
  ASSERT_EQ(front.waits_for.size(), 1u);
  const InFlightCall& call = front.waits_for[0];
  EXPECT_EQ(call.method, kMethod);
  EXPECT_EQ(Address(call.target), leaf_->address());
  EXPECT_EQ(call.trace_id, trace.TraceIdHex());
  EXPECT_LE(call.age, front.age);
  EXPECT_GT(call.time_left, leaf.time_left);
  EXPECT_LE(call.time_left, front.time_left);
  // The client's own call belongs to no request.
  ASSERT_EQ(seen.other_calls.size(), 1u);
  EXPECT_EQ(Address(seen.other_calls[0].target), front_->address());
  Release();
  client.join();
  EXPECT_EQ(InspectUntilRequests(0).requests_in_flight, 0);
}

TEST_F(InspectTest, AHandlerThatWorksOnAfterItsCallerLeftIsShown) {
  at_leaf_ = [this](grpc::ServerContext& sc) {
    // Otherwise a sync server doesn't learn that its caller left.
    const Registration watch = AfterFunc(ContextOf(sc), [] {});
    release_.WaitForNotification();
    return grpc::Status::OK;
  };
  Start();
  Cancellable caller = WithCancel(Background());
  std::thread client([&] {
    ClientCall call(caller.ctx);
    Call(*to_leaf_, call);
  });
  InFlight seen = InspectUntil([](const InFlight& now) {
    return now.requests.size() == 1 && now.requests[0].observed;
  });
  ASSERT_EQ(seen.requests.size(), 1u);
  EXPECT_EQ(seen.requests[0].ended_by, EndReason::kNone);
  EXPECT_EQ(seen.requests[0].time_left, absl::InfiniteDuration());
  EXPECT_EQ(seen.requests[0].deadline_owner, DeadlineOwner::kNone);
  caller.cancel();
  seen = InspectUntil([](const InFlight& now) {
    return now.requests.size() == 1 &&
           now.requests[0].ended_by != EndReason::kNone;
  });
  ASSERT_EQ(seen.requests.size(), 1u);
  EXPECT_EQ(seen.requests[0].ended_by, EndReason::kCallerLeft);
  ASSERT_TRUE(seen.requests[0].ended_ago.has_value());
  EXPECT_GE(*seen.requests[0].ended_ago, absl::ZeroDuration());
  EXPECT_LE(*seen.requests[0].ended_ago, seen.requests[0].age);
  client.join();
  Release();
  EXPECT_TRUE(InspectUntilRequests(0).requests.empty());
}

TEST_F(InspectTest, ADeadlineThatHasPassedIsShownAlthoughNothingLookedAtIt) {
  BlockLeaf();
  Start();
  std::thread client([&] {
    const Cancellable caller =
        WithTimeout(Background(), absl::Milliseconds(50));
    ClientCall call(caller.ctx);
    Call(*to_leaf_, call);
  });
  const InFlight seen = InspectUntil([](const InFlight& now) {
    return now.requests.size() == 1 &&
           now.requests[0].ended_by != EndReason::kNone;
  });
  client.join();
  ASSERT_EQ(seen.requests.size(), 1u);
  const InFlightRequest& request = seen.requests[0];
  EXPECT_EQ(request.ended_by, EndReason::kInheritedDeadline);
  EXPECT_LE(request.time_left, absl::ZeroDuration());
  ASSERT_TRUE(request.ended_ago.has_value());
  EXPECT_EQ(*request.ended_ago, -request.time_left);
  EXPECT_FALSE(request.observed);
  Release();
}

TEST_F(InspectTest, TheOwnerOfTheDeadlineIsShown) {
  BlockLeaf();
  Options options;
  options.leaf->time.default_timeout = absl::Minutes(2);
  options.leaf->time.max_timeout = absl::Minutes(3);
  Start(options);
  std::vector<std::thread> clients;
  for (const bool has_deadline : {false, true}) {
    clients.emplace_back([this, has_deadline] {
      const Cancellable caller = has_deadline
                                     ? WithTimeout(Background(), absl::Hours(1))
                                     : WithCancel(Background());
      ClientCall call(caller.ctx);
      Call(*to_leaf_, call);
    });
    const size_t count = has_deadline ? 2 : 1;
    const InFlight seen = InspectUntilRequests(count);
    ASSERT_EQ(seen.requests.size(), count);
    EXPECT_EQ(seen.requests.back().deadline_owner,
              has_deadline ? DeadlineOwner::kMaxTimeout
                           : DeadlineOwner::kDefaultTimeout);
  }
  Release();
  for (std::thread& client : clients) client.join();
}

TEST_F(InspectTest, ABaseContextsEarlierDeadlineIsItsOwn) {
  BlockLeaf();
  const Cancellable base = WithTimeout(Background(), absl::Hours(1));
  Options options;
  options.leaf->base_context = base.ctx;
  Start(options);
  std::thread client([this] { CallLeaf(Background()); });
  const InFlight seen = InspectUntilRequests(1);
  Release();
  client.join();
  Stop();
  ASSERT_EQ(seen.requests.size(), 1u);
  EXPECT_EQ(seen.requests[0].deadline_owner, DeadlineOwner::kBaseContext);
  EXPECT_GT(seen.requests[0].time_left, absl::Minutes(50));
}

TEST_F(InspectTest, ListsByMethodTraceAndTimeLeft) {
  BlockLeaf();
  Start();
  std::vector<std::thread> clients;
  std::vector<TraceContext> traces;
  for (int i = 0; i < 3; ++i) traces.push_back(NewTrace(/*sampled=*/true));
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([this, &traces, i] {
      // The first has the most time.
      const Cancellable caller =
          WithTimeout(WithTrace(Background(), traces[i]), absl::Hours(3 - i));
      ClientCall call(caller.ctx);
      Call(*to_leaf_, call);
    });
  }
  ASSERT_EQ(InspectUntilRequests(3).requests.size(), 3u);
  InspectOptions options;
  options.max_entries = 2;
  InFlight seen = Inspect(options);
  EXPECT_EQ(seen.requests_in_flight, 3);
  EXPECT_EQ(seen.calls_in_flight, 3);
  ASSERT_EQ(seen.requests.size(), 2u);
  EXPECT_EQ(seen.requests[0].trace_id, traces[2].TraceIdHex());
  EXPECT_EQ(seen.requests[1].trace_id, traces[1].TraceIdHex());
  EXPECT_EQ(seen.other_calls.size(), 2u);

  options = InspectOptions();
  options.trace_id = traces[1].TraceIdHex();
  seen = Inspect(options);
  ASSERT_EQ(seen.requests.size(), 1u);
  EXPECT_EQ(seen.requests[0].trace_id, traces[1].TraceIdHex());
  EXPECT_EQ(seen.other_calls.size(), 1u);

  options = InspectOptions();
  options.method_contains = "Probe/Una";
  EXPECT_EQ(Inspect(options).requests.size(), 3u);
  options.method_contains = "Probe/Download";
  EXPECT_EQ(Inspect(options).requests.size(), 0u);
  options.max_entries = 0;
  EXPECT_EQ(Inspect(options).requests.size(), 0u);
  Release();
  for (std::thread& client : clients) client.join();
}

TEST_F(InspectTest, CallsWithoutTheContextOfTheirRequestBelongToNone) {
  BlockLeaf();
  at_front_ = [this](grpc::ServerContext&) { return CallLeaf(Background()); };
  Start();
  std::thread client([this] { Call(kGiveUp); });
  const InFlight seen = InspectUntil([](const InFlight& now) {
    return now.requests.size() == 2 && now.calls_in_flight == 2;
  });
  EXPECT_EQ(seen.other_calls.size(), 2u);
  for (const InFlightRequest& request : seen.requests) {
    EXPECT_TRUE(request.waits_for.empty());
  }
  Release();
  client.join();
}

TEST_F(InspectTest, APlainClientContextWorksForTheCurrentRequest) {
  BlockLeaf();
  at_front_ = [this](grpc::ServerContext&) {
    grpc::ClientContext call;
    Pong pong;
    return to_leaf_->Unary(&call, Ping(), &pong);
  };
  Start();
  std::thread client([this] { Call(kGiveUp); });
  const InFlight seen = InspectUntil([](const InFlight& now) {
    return now.requests.size() == 2 && now.calls_in_flight == 2;
  });
  EXPECT_EQ(seen.other_calls.size(), 1u);
  Release();
  client.join();
}

TEST_F(InspectTest, ACallThatHasNotBegunOrIsOverIsNotInFlight) {
  Start();
  CallOptions options;
  options.label = "shard 7";
  ClientCall call(Background(), options);
  EXPECT_EQ(Inspect().calls_in_flight, 0);
  at_leaf_ = [&](grpc::ServerContext&) {
    const InFlight seen = Inspect();
    EXPECT_EQ(seen.other_calls.size(), 1u);
    if (!seen.other_calls.empty()) {
      EXPECT_EQ(seen.other_calls[0].label, "shard 7");
      EXPECT_EQ(seen.other_calls[0].time_left, absl::InfiniteDuration());
    }
    return grpc::Status::OK;
  };
  EXPECT_TRUE(Call(*to_leaf_, call).first.ok());
  // The ClientCall still exists.
  EXPECT_EQ(Inspect().calls_in_flight, 0);
}

TEST_F(InspectTest, AFactoryOfOneChannelKnowsItsTarget) {
  Start();
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<ClientInterceptorFactory>());
  const auto stub = testing::Probe::NewStub(
      grpc::experimental::CreateCustomChannelWithInterceptors(
          leaf_->address(), grpc::InsecureChannelCredentials(),
          testing::OwnConnection(), std::move(creators)));
  std::string target;
  at_leaf_ = [&](grpc::ServerContext&) {
    const InFlight seen = Inspect();
    if (seen.other_calls.size() == 1) target = seen.other_calls[0].target;
    return grpc::Status::OK;
  };
  for (int i = 0; i < 2; ++i) {
    target = "";
    ClientCall call(Background());
    EXPECT_TRUE(Call(*stub, call).first.ok());
    EXPECT_EQ(Address(target), leaf_->address());
  }
}

TEST_F(InspectTest, MayBeCalledWhileRequestsBeginAndEnd) {
  Start();
  std::atomic<bool> stop{false};
  std::vector<std::thread> inspectors;
  std::atomic<int64_t> most{0};
  for (int i = 0; i < 2; ++i) {
    inspectors.emplace_back([&] {
      while (!stop) {
        const InFlight seen = Inspect();
        EXPECT_LE(seen.requests_in_flight, 1000);
        if (seen.requests_in_flight > most) most = seen.requests_in_flight;
        for (const InFlightRequest& request : seen.requests) {
          EXPECT_EQ(request.method, kMethod);
        }
      }
    });
  }
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([this, i] {
      for (int n = 0; n < 200; ++n) {
        const Cancellable caller =
            WithTimeout(Background(),
                        i == 0 && n % 2 == 0 ? absl::Milliseconds(1) : kGiveUp);
        ClientCall call(caller.ctx);
        Call(*to_front_, call);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  stop = true;
  for (std::thread& inspector : inspectors) inspector.join();
  EXPECT_GT(most, 0);
}

}  // namespace
}  // namespace tether
