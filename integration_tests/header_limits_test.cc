// SPDX-License-Identifier: Apache-2.0
//
// How many bytes of headers a hop sends at most, and what it drops.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/middle_hop.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/default.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;

// The size of the metadata that gRPC accepts from a peer by default.
constexpr size_t kPeerTakes = 8192;

class HeaderLimitsTest : public MiddleHopTest {};

// 32 members, of the maximal length.
std::string MaximalTraceState() {
  std::string state;
  for (int i = 0; i < 31; ++i) absl::StrAppend(&state, "k", i, "=0123456789,");
  state += "z=";
  return state + std::string(kMaxTraceStateBytes - state.size(), 'z');
}

// All headers that a request may have, each as large as the limits allow. Each
// of the `relayed` headers takes 1 KiB.
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

TEST_F(HeaderLimitsTest, WhatIsTooMuchIsDroppedWholeAndCounted) {
  const auto all = std::make_shared<CompositePropagator>(
      Parts{std::make_shared<TraceContextPropagator>(),
            std::make_shared<RequestIdPropagator>(),
            std::make_shared<BaggagePropagator>(), Relaying({"x-relayed"})});
  StartMiddle(all);
  // The last part doesn't fit: none of it is sent.
  const Headers headers = MaximalRequest(/*baggage_bytes=*/2900, 3);
  Through(headers);
  EXPECT_EQ(Got("traceparent").size(), 1u);
  EXPECT_EQ(Got("tracestate"), Values{MaximalTraceState()});
  EXPECT_EQ(Got("x-request-id"), Values{std::string(128, 'r')});
  EXPECT_EQ(Got("baggage"), Values{headers[3].second});
  EXPECT_EQ(Got("x-relayed"), Values());
  EXPECT_EQ(all->Dropped(), 1);
  EXPECT_LE(GotBytes(), kPeerTakes);

  // After smaller headers, it fits.
  Through(MaximalRequest(/*baggage_bytes=*/100, 3));
  EXPECT_EQ(Got("baggage").size(), 1u);
  EXPECT_EQ(Got("x-relayed"), RelayedIn(headers));
  EXPECT_EQ(all->Dropped(), 1);
}

TEST_F(HeaderLimitsTest, WhatStandsFirstIsSentFirst) {
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

// The middle hop accepts all it can, and adds 8 KiB of baggage. Limits that are
// set far too high change nothing.
TEST_F(HeaderLimitsTest, NoPropagatorExceedsWhatAPeerTakes) {
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

// The application's own metadata fails a call if and only if it would without
// tether, whatever values the context has.
TEST_F(HeaderLimitsTest, OwnMetadataFailsOnlyWhereItWouldWithoutTether) {
  StartMiddle(DefaultPropagator());
  const auto tethered = leaf_->Stub();
  const auto plain = leaf_->Stub(/*tether=*/std::nullopt);
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
    // The length of grpc-timeout varies.
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
  // 8 KiB, minus 3 for gRPC and credentials, minus 3.6 of values.
  EXPECT_GT(with_trace, 10);
  EXPECT_GT(taken - with_trace, 20) << "where there was no room";
  EXPECT_EQ(GetGrpcStats().oversized - oversized,
            taken - with_trace + rejected);
}

}  // namespace
}  // namespace tether
