// Tests which headers a middle hop passes on without reading them, and the
// limits of what it sends. Both ends are plain gRPC, so the leaf sees exactly
// the sent headers.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/header.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

// The default of gRPC's limit for a peer's metadata.
constexpr size_t kPeerTakes = 8192;

using Headers = std::vector<std::pair<std::string, std::string>>;
using Values = std::vector<std::string>;
using Parts = std::vector<std::shared_ptr<const Propagator>>;

inline constexpr Key<int64_t> kNumber{"number"};

std::shared_ptr<const Propagator> NumberPropagator() {
  return std::make_shared<HeaderPropagator<int64_t>>(kNumber, "x-number",
                                                     IntCodec());
}

std::shared_ptr<const Propagator> Relaying(std::vector<std::string> headers) {
  return std::make_shared<RelayPropagator>(std::move(headers));
}

class RelayAndLimitsTest : public testing::GrpcLeakCheckedTest {
 protected:
  RelayAndLimitsTest()
      : leaf_({/*callback_api=*/false, /*tether=*/std::nullopt}),
        straight_(leaf_.Stub(/*tether=*/std::nullopt)) {
    leaf_.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      internal::MutexLock lock(mutex_);
      got_.clear();
      bytes_ = 0;
      for (const auto& [name, value] : sc.client_metadata()) {
        got_[std::string(name.data(), name.size())].emplace_back(value.data(),
                                                                 value.size());
        bytes_ += 32 + name.size() + value.size();
      }
      return grpc::Status::OK;
    };
  }

  // A middle whose server and channel have these propagators.
  void StartMiddle(std::shared_ptr<const Propagator> propagator) {
    ClientOptions client_options;
    client_options.propagator = propagator;
    onward_ = leaf_.Stub(client_options);
    ServerOptions server_options;
    server_options.propagator = std::move(propagator);
    middle_.emplace(ProbeServer::Options{/*callback_api=*/false,
                                         std::move(server_options)});
    middle_->unary = [this](grpc::ServerContext& sc, const Ping& ping,
                            Pong* pong) {
      const Context ctx = change(ContextOf(sc));
      ClientCall call(ctx);
      for (const auto& [name, value] : own) call.AddMetadata(name, value);
      return onward_->Unary(&call, ping, pong);
    };
    through_ = middle_->Stub(/*tether=*/std::nullopt);
  }

  // Calls the leaf with these headers.
  void Straight(const Headers& headers) { Send(*straight_, headers); }
  void Through(const Headers& headers) { Send(*through_, headers); }

  // The headers that the leaf got in the last call.
  Values Got(const std::string& name) {
    internal::MutexLock lock(mutex_);
    const auto it = got_.find(name);
    return it == got_.end() ? Values() : it->second;
  }
  size_t GotBytes() {
    internal::MutexLock lock(mutex_);
    return bytes_;
  }

  // The middle hop's work between its caller and the leaf.
  std::function<Context(const Context&)> change = [](const Context& ctx) {
    return ctx;
  };
  Headers own;  // headers that it sends itself

  ProbeServer& leaf() { return leaf_; }

 private:
  static void Send(Probe::Stub& stub, const Headers& headers) {
    grpc::ClientContext call;
    for (const auto& [name, value] : headers) call.AddMetadata(name, value);
    Pong pong;
    const grpc::Status status = stub.Unary(&call, Ping(), &pong);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  internal::Mutex mutex_;
  std::map<std::string, Values> got_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  ProbeServer leaf_;
  const std::unique_ptr<Probe::Stub> straight_;
  std::unique_ptr<Probe::Stub> onward_;
  std::optional<ProbeServer> middle_;
  std::unique_ptr<Probe::Stub> through_;
};

// ---- Relay ----

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  return bytes;
}

// Byte for byte as gRPC itself brings them, without a hop between.
TEST_F(RelayAndLimitsTest, AListedHeaderPassesUntouched) {
  StartMiddle(Relaying({"x-canary", "x-session-bin"}));
  std::string printable;
  for (char c = 0x20; c < 0x7f; ++c) printable += c;
  const std::vector<Headers> all = {
      {{"x-canary", "blue"}},
      {{"x-canary", ""}},
      {{"x-canary", printable}},
      {{"x-canary", "x,y;z=%zz \"quoted\\"}},
      {{"x-canary", std::string(1024, 'x')}},
      // Repeated ones, in their order, and equal ones, too.
      {{"x-canary", "b"}, {"x-canary", "a"}, {"x-canary", "b"}},
      {{"x-canary", "1"},
       {"x-session-bin", "2"},
       {"x-canary", "3"},
       {"x-session-bin", "4"}},
      // Any bytes.
      {{"x-session-bin", AllBytes()}},
      {{"x-session-bin", ""}},
      {{"x-session-bin", std::string("\0\0\0", 3)},
       {"x-session-bin", "a,b"},
       {"x-session-bin", "\xff\xfe"},
       {"x-session-bin", AllBytes() + AllBytes()}},
  };
  for (const Headers& headers : all) {
    Straight(headers);
    const Values canary = Got("x-canary");
    const Values session = Got("x-session-bin");
    ASSERT_EQ(canary.size() + session.size(), headers.size());
    Through(headers);
    EXPECT_EQ(Got("x-canary"), canary);
    EXPECT_EQ(Got("x-session-bin"), session);
  }
}

TEST_F(RelayAndLimitsTest, ControlAHeaderThatIsNotListedStays) {
  StartMiddle(Relaying({"x-canary"}));
  Through({{"x-canary", "blue"}, {"x-other", "1"}, {"x-other-bin", "2"}});
  EXPECT_EQ(Got("x-canary"), Values{"blue"});
  EXPECT_EQ(Got("x-other"), Values());
  EXPECT_EQ(Got("x-other-bin"), Values());
}

TEST_F(RelayAndLimitsTest, TheMiddlesOwnHeaderIsNotReplaced) {
  StartMiddle(Relaying({"x-canary"}));
  own = {{"x-canary", "own"}};
  Through({{"x-canary", "blue"}, {"x-canary", "green"}});
  EXPECT_EQ(Got("x-canary"), Values{"own"});
}

// After a propagator of the same header: values that the propagator can't read
// are still passed on, and it writes the values that it can read.
TEST_F(RelayAndLimitsTest, WhatNoCodecReadsPassesUntouched) {
  const auto number = NumberPropagator();
  StartMiddle(std::make_shared<CompositePropagator>(
      Parts{number, Relaying({"x-number"})}));
  bool has_number = true;
  change = [&has_number](const Context& ctx) {
    const int64_t* value = ctx.Value(kNumber);
    has_number = value != nullptr;
    return has_number ? WithValue(ctx, kNumber, *value + 1) : ctx;
  };
  Through({{"x-number", "twelve"}});
  EXPECT_FALSE(has_number);
  EXPECT_EQ(number->Dropped(), 1);
  EXPECT_EQ(Got("x-number"), Values{"twelve"});

  Through({{"x-number", "12"}, {"x-number", "13"}});
  EXPECT_FALSE(has_number) << "which one?";
  EXPECT_EQ(number->Dropped(), 2);
  EXPECT_EQ(Got("x-number"), (Values{"12", "13"}));

  Through({{"x-number", "12"}});
  EXPECT_TRUE(has_number);
  EXPECT_EQ(number->Dropped(), 2);
  EXPECT_EQ(Got("x-number"), Values{"13"});
}

// ---- Limits ----

// 32 members, and as long as it may be.
std::string MaximalTraceState() {
  std::string state;
  for (int i = 0; i < 31; ++i) absl::StrAppend(&state, "k", i, "=0123456789,");
  state += "z=";
  return state + std::string(kMaxTraceStateBytes - state.size(), 'z');
}

// Everything that a request may contain, as large as the limits allow. The
// baggage has `baggage_bytes`, and each of the `relayed` headers takes 1 KiB.
Headers MaximalRequest(size_t baggage_bytes, int relayed) {
  Headers headers = {
      {"traceparent",
       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
      {"tracestate", MaximalTraceState()},
      {"x-request-id", std::string(128, 'r')},
      {"baggage", "k=" + std::string(baggage_bytes - 2, 'v')}};
  for (int i = 0; i < relayed; ++i) {
    headers.emplace_back("x-relayed", std::string(980, 'a' + i));
  }
  return headers;
}

Values RelayedIn(const Headers& headers) {
  Values values;
  for (const auto& [name, value] : headers) {
    if (name == "x-relayed") values.push_back(value);
  }
  return values;
}

TEST_F(RelayAndLimitsTest, WhatIsTooMuchIsDroppedWholeAndCounted) {
  const auto all = std::make_shared<CompositePropagator>(
      Parts{std::make_shared<TraceContextPropagator>(),
            std::make_shared<RequestIdPropagator>(),
            std::make_shared<BaggagePropagator>(), Relaying({"x-relayed"})});
  StartMiddle(all);
  // The last part doesn't fit, and none of it is sent.
  const Headers headers = MaximalRequest(/*baggage_bytes=*/2900, 3);
  Through(headers);
  EXPECT_EQ(Got("traceparent").size(), 1u);
  EXPECT_EQ(Got("tracestate"), Values{MaximalTraceState()});
  EXPECT_EQ(Got("x-request-id"), Values{std::string(128, 'r')});
  EXPECT_EQ(Got("baggage"), Values{headers[3].second});
  EXPECT_EQ(Got("x-relayed"), Values());
  EXPECT_EQ(all->Dropped(), 1);
  EXPECT_LE(GotBytes(), kPeerTakes);

  // It fits if the parts before it are smaller.
  Through(MaximalRequest(/*baggage_bytes=*/100, 3));
  EXPECT_EQ(Got("baggage").size(), 1u);
  EXPECT_EQ(Got("x-relayed"), RelayedIn(headers));
  EXPECT_EQ(all->Dropped(), 1);
}

TEST_F(RelayAndLimitsTest, WhatStandsFirstIsSentFirst) {
  const auto all = std::make_shared<CompositePropagator>(
      Parts{Relaying({"x-relayed"}), std::make_shared<BaggagePropagator>(),
            std::make_shared<TraceContextPropagator>()});
  StartMiddle(all);
  const Headers headers = MaximalRequest(/*baggage_bytes=*/2900, 3);
  Through(headers);
  EXPECT_EQ(Got("x-relayed"), RelayedIn(headers));
  EXPECT_EQ(Got("baggage"), Values());
  EXPECT_EQ(Got("traceparent").size(), 1u) << "behind it, but small";
  EXPECT_EQ(Got("tracestate").size(), 1u);
  EXPECT_EQ(all->Dropped(), 1);
}

// A middle hop that accepts as much as possible, and has 8 KiB of baggage
// itself, even with limits that nobody should set.
TEST_F(RelayAndLimitsTest, NoPropagatorExceedsWhatAPeerTakes) {
  InjectLimits no_limits;
  no_limits.max_bytes = 1'000'000;
  RelayLimits wide;
  wide.max_bytes = 100'000;
  wide.max_values = 100;
  const auto relay = std::make_shared<RelayPropagator>(
      std::vector<std::string>{"x-relayed"}, wide);
  const auto baggage = std::make_shared<BaggagePropagator>();
  const std::shared_ptr<const Propagator> propagators[] = {
      std::make_shared<CompositePropagator>(
          Parts{std::make_shared<TraceContextPropagator>(), baggage, relay}),
      std::make_shared<CompositePropagator>(
          Parts{std::make_shared<TraceContextPropagator>(), baggage, relay},
          no_limits),
      baggage,  // takes 8 KiB by default
      relay,
  };
  change = [](const Context& ctx) {
    return WithBaggage(ctx,
                       Baggage().With("k", std::string(kPeerTakes - 10, 'v')));
  };
  for (const auto& propagator : propagators) {
    SCOPED_TRACE(&propagator - propagators);
    StartMiddle(propagator);
    for (const Headers& some : {Headers(), Headers{{"x-own", "1"}}}) {
      own = some;
      Through(MaximalRequest(/*baggage_bytes=*/100, 6));
      EXPECT_LE(GotBytes(), kPeerTakes);
      EXPECT_EQ(Got("baggage"), Values()) << "too much, and never a part of it";
    }
  }
}

// The application's own metadata fails a call only if it would without tether,
// whatever values the context has.
TEST_F(RelayAndLimitsTest, OwnMetadataFailsOnlyWhereItWouldWithoutTether) {
  const auto tethered = leaf().Stub();
  const auto plain = leaf().Stub(/*tether=*/std::nullopt);
  const std::string traceparent =
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  TraceContext trace = *ParseTraceParent(traceparent);
  trace.trace_state = MaximalTraceState();
  Context values = WithRequestId(WithTrace(Background(), trace), "id");
  values = WithBaggage(values, Baggage().With("k", std::string(3000, 'v')));
  const auto [ctx, cancel] = WithTimeout(values, absl::Hours(1));
  const auto call_plain = [&plain = plain](size_t size) {
    grpc::ClientContext call;
    call.set_deadline(absl::ToChronoTime(absl::Now() + absl::Hours(1)));
    call.AddMetadata("x-own", std::string(size, 'x'));
    Pong pong;
    return plain->Unary(&call, Ping(), &pong).ok();
  };
  const int64_t oversized = GetGrpcStats().oversized;
  int taken = 0, rejected = 0, with_trace = 0;
  for (size_t size = 100; size < 9000; size += 100) {
    const bool plain_is_taken = call_plain(size);
    // grpc-timeout is not always as long.
    if (call_plain(size - 20) != call_plain(size + 20)) continue;
    ClientCall call(ctx);
    call.AddMetadata("x-own", std::string(size, 'x'));
    Pong pong;
    const grpc::Status status = tethered->Unary(&call, Ping(), &pong);
    ASSERT_EQ(status.ok(), plain_is_taken)
        << size << " " << status.error_message();
    ++(status.ok() ? taken : rejected);
    if (status.ok() && !Got("traceparent").empty()) ++with_trace;
  }
  EXPECT_GT(taken, 60);
  EXPECT_GT(rejected, 10);
  // 8 KiB, less 3 for gRPC and credentials, less 3.6 of values.
  EXPECT_GT(with_trace, 10);
  EXPECT_GT(taken - with_trace, 20) << "where there was no room";
  EXPECT_EQ(GetGrpcStats().oversized - oversized,
            taken - with_trace + rejected);
}

}  // namespace
}  // namespace tether
