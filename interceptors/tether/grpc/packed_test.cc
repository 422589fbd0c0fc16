// SPDX-License-Identifier: Apache-2.0
//
// ClientOptions::packed and ServerOptions::packed: one header carries all
// values, between two sides that both understand it.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/describe.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/grpc/testing/tenant.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

using testing::kTenant;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;
using testing::WithTenant;

class PackedTest : public testing::GrpcLeakCheckedTest {
 protected:
  // What a handler has seen of one call.
  struct Seen {
    std::multimap<std::string, std::string> headers;
    std::optional<TraceContext> trace;
    std::string request_id, route, tenant, description;
    absl::Duration remaining;

    bool has(const std::string& name) const { return headers.count(name) != 0; }
  };

  void Serve(bool packed, bool edge = false) {
    ServerOptions options;
    options.propagator = WithTenant();
    options.packed = packed;
    if (edge) options.edge.emplace();
    server_.emplace(ProbeServer::Options{/*callback_api=*/false, options});
    server_->unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      const Context ctx = ContextOf(sc);
      seen_ = Seen();
      for (const auto& header : sc.client_metadata()) {
        seen_.headers.emplace(
            std::string(header.first.data(), header.first.size()),
            std::string(header.second.data(), header.second.size()));
      }
      if (const TraceContext* trace = TraceOf(ctx)) seen_.trace = *trace;
      if (const std::string* id = RequestIdOf(ctx)) seen_.request_id = *id;
      seen_.route = std::string(BaggageOf(ctx).Get("route").value_or(""));
      if (const std::string* tenant = ctx.Value(kTenant)) {
        seen_.tenant = *tenant;
      }
      seen_.remaining = ctx.Remaining();
      seen_.description = DescribePropagation(sc);
      return grpc::Status::OK;
    };
  }

  void Connect(bool packed) {
    ClientOptions options;
    options.propagator = WithTenant();
    options.packed = packed;
    stub_ = server_->Stub(options);
  }

  // Makes a call with all values and with these headers of the application's
  // own, and returns what the handler has seen of it.
  Seen CallWith(const std::map<std::string, std::string>& own,
                bool describe = false) {
    Context values = WithRequestId(WithTrace(Background(), sent_), "id-1");
    values = WithBaggage(values, Baggage().With("route", "a;b=c"));
    auto [ctx, cancel] =
        WithTimeout(WithValue(values, kTenant, "acme;t=1:0"), absl::Minutes(1));
    CallOptions options;
    options.describe_propagation = describe;
    ClientCall call(ctx, options);
    for (const auto& header : own) {
      call.AddMetadata(header.first, header.second);
    }
    Pong pong;
    EXPECT_TRUE(stub_->Unary(&call, Ping(), &pong).ok());
    return seen_;
  }

  Seen Call() { return CallWith({}); }

  void ExpectAllValues(const Seen& seen) {
    ASSERT_TRUE(seen.trace.has_value());
    EXPECT_EQ(seen.trace->trace_id, sent_.trace_id);
    EXPECT_EQ(seen.request_id, "id-1");
    EXPECT_EQ(seen.route, "a;b=c");
    EXPECT_EQ(seen.tenant, "acme;t=1:0");
    // gRPC's own deadline is a minute; tether's is a reserve earlier.
    EXPECT_LT(seen.remaining, absl::Minutes(1) - absl::Milliseconds(25));
    EXPECT_GT(seen.remaining, absl::Seconds(30));
  }

  static void ExpectPlain(const Seen& seen) {
    for (const char* name : {"tether-timeout", "traceparent", "x-request-id",
                             "baggage", "x-tenant"}) {
      EXPECT_TRUE(seen.has(name)) << name;
    }
  }

  static void ExpectPacked(const Seen& seen) {
    EXPECT_TRUE(seen.has("tether"));
    for (const char* name : {"tether-timeout", "traceparent", "x-request-id",
                             "baggage", "x-tenant"}) {
      EXPECT_FALSE(seen.has(name)) << name;
    }
  }

  const TraceContext sent_ = NewTrace(/*sampled=*/true);
  Seen seen_;
  std::optional<ProbeServer> server_;
  std::unique_ptr<testing::Probe::Stub> stub_;
};

TEST_F(PackedTest, OneHeaderCarriesAllValuesOnceTheServerHasSaidThatItUnpacks) {
  Serve(/*packed=*/true);
  Connect(/*packed=*/true);
  const Seen asked = Call();
  ExpectPlain(asked);
  ExpectAllValues(asked);
  EXPECT_EQ(asked.headers.find("tether")->second, "1");
  // On a slow machine, a call may ask again.
  Seen later = Call();
  for (int i = 0; i < 100 && later.has("traceparent"); ++i) later = Call();
  ExpectPacked(later);
  ExpectAllValues(later);
  EXPECT_NE(later.description.find("tether-timeout: the deadline"),
            std::string::npos)
      << later.description;
}

TEST_F(PackedTest, AServerWithoutTheOptionGetsPlainHeaders) {
  Serve(/*packed=*/false);
  Connect(/*packed=*/true);
  for (int i = 0; i < 10; ++i) {
    const Seen seen = Call();
    ExpectPlain(seen);
    ExpectAllValues(seen);
  }
}

TEST_F(PackedTest, AClientWithoutTheOptionSendsPlainHeaders) {
  Serve(/*packed=*/true);
  Connect(/*packed=*/false);
  for (int i = 0; i < 3; ++i) {
    const Seen seen = Call();
    ExpectPlain(seen);
    ExpectAllValues(seen);
    EXPECT_FALSE(seen.has("tether"));
  }
}

TEST_F(PackedTest, AHeaderThatTheApplicationHasSetStaysItsOwn) {
  Serve(/*packed=*/true);
  Connect(/*packed=*/true);
  Call();
  const std::map<std::string, std::string> own = {{"x-request-id", "own"}};
  Seen seen = CallWith(own);
  for (int i = 0; i < 100 && seen.has("traceparent"); ++i) seen = CallWith(own);
  EXPECT_EQ(seen.headers.find("x-request-id")->second, "own");
  EXPECT_EQ(seen.request_id, "own");
  EXPECT_EQ(seen.tenant, "acme;t=1:0");
}

// A proxy in front may have removed headers, but not those in a packed one.
TEST_F(PackedTest, AtTheEdgeNothingIsUnpackedOrBelieved) {
  Serve(/*packed=*/true, /*edge=*/true);
  Connect(/*packed=*/true);
  Call();
  const Seen seen = Call();
  ExpectPlain(seen);
  ASSERT_TRUE(seen.trace.has_value()) << "a new one begins";
  EXPECT_NE(seen.trace->trace_id, sent_.trace_id);
  EXPECT_EQ(seen.request_id, "");
  EXPECT_EQ(seen.route, "");
  EXPECT_EQ(seen.tenant, "");
}

// There is room for one header, and not for one for each value.
TEST_F(PackedTest, ADescribedCallSendsWhatOthersSend) {
  Serve(/*packed=*/true);
  Connect(/*packed=*/true);
  Call();
  const std::map<std::string, std::string> own = {
      {"x-big", std::string(4883, 'x')}};
  for (const bool describe : {false, true}) {
    Seen seen = CallWith(own, describe);
    for (int i = 0; i < 100 && seen.has("tether-timeout"); ++i) {
      seen = CallWith(own, describe);
    }
    EXPECT_EQ(seen.request_id, "id-1") << describe;
    EXPECT_EQ(seen.tenant, "acme;t=1:0") << describe;
  }
}

// As with plain headers: none of the values, but the deadline.
TEST_F(PackedTest, ValuesThatDoNotFitBesideTheApplicationsAreLeftOut) {
  Serve(/*packed=*/true);
  Connect(/*packed=*/true);
  Call();
  const int64_t oversized = GetGrpcStats().oversized;
  // 2 KiB are kept for credentials. `big` leaves less than the values need.
  const std::string big(4990, 'x');
  Seen seen = CallWith({{"x-big", big}});
  for (int i = 0; i < 100 && seen.has("tether-timeout"); ++i) {
    seen = CallWith({{"x-big", big}});
  }
  EXPECT_GT(GetGrpcStats().oversized, oversized);
  EXPECT_TRUE(seen.has("tether"));
  EXPECT_EQ(seen.request_id, "");
  EXPECT_EQ(seen.tenant, "");
  EXPECT_FALSE(seen.trace.has_value());
  EXPECT_LT(seen.remaining, absl::Minutes(1) - absl::Milliseconds(25));
}

class HostilePackedTest : public PackedTest {
 protected:
  // Sends these headers without tether.
  Seen Send(const std::multimap<std::string, std::string>& headers) {
    const auto stub = server_->Stub(/*tether=*/std::nullopt);
    grpc::ClientContext call;
    for (const auto& header : headers) {
      call.AddMetadata(header.first, header.second);
    }
    Pong pong;
    EXPECT_TRUE(stub->Unary(&call, Ping(), &pong).ok());
    return seen_;
  }
};

TEST_F(HostilePackedTest, AMalformedHeaderIsDroppedWholeAndCounted) {
  Serve(/*packed=*/true);
  int64_t counted = GetGrpcStats().bad_packed;
  for (const char* bad : {"", "2", "1;i=3:id", "1;i=2:id;", "1;i=2:id;z=1:a"}) {
    const Seen seen = Send({{"tether", bad}, {"x-tenant", "acme"}});
    EXPECT_EQ(seen.request_id, "") << bad;
    EXPECT_EQ(seen.tenant, "acme") << bad;
    EXPECT_EQ(GetGrpcStats().bad_packed, ++counted) << bad;
  }
  const Seen good = Send({{"tether", "1;i=2:id"}, {"x-tenant", "acme"}});
  EXPECT_EQ(good.request_id, "id");
  EXPECT_EQ(good.tenant, "acme");
  EXPECT_EQ(GetGrpcStats().bad_packed, counted);
}

TEST_F(HostilePackedTest, TwoDifferentOnesAreDropped) {
  Serve(/*packed=*/true);
  const int64_t before = GetGrpcStats().bad_packed;
  EXPECT_EQ(Send({{"tether", "1;i=1:a"}, {"tether", "1;i=1:b"}}).request_id,
            "");
  EXPECT_EQ(GetGrpcStats().bad_packed, before + 1);
}

// As if the header had been sent twice.
TEST_F(HostilePackedTest, AFieldAndAHeaderThatDifferAreBothDropped) {
  Serve(/*packed=*/true);
  EXPECT_EQ(Send({{"tether", "1;i=1:a"}, {"x-request-id", "b"}}).request_id,
            "");
  EXPECT_EQ(Send({{"tether", "1;i=1:a"}, {"x-request-id", "a"}}).request_id,
            "a");
}

TEST_F(HostilePackedTest, AServerWithoutTheOptionIgnoresIt) {
  Serve(/*packed=*/false);
  const int64_t before = GetGrpcStats().bad_packed;
  EXPECT_EQ(Send({{"tether", "1;i=1:a"}}).request_id, "");
  EXPECT_EQ(Send({{"tether", "bad"}}).request_id, "");
  EXPECT_EQ(GetGrpcStats().bad_packed, before);
}

}  // namespace
}  // namespace tether
