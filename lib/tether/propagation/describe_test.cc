// SPDX-License-Identifier: Apache-2.0
//
// The description of what propagators do with the headers of one call.

#include "tether/propagation/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/default.h"
#include "tether/propagation/edge.h"
#include "tether/propagation/header.h"
#include "tether/propagation/redact.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Key<std::string> kTenant{"tenant"};
constexpr Key<int> kPriority{"priority"};

class DescribeTest : public testing::LeakCheckedTest {
 protected:
  DescribeTest()
      : propagator_(std::make_shared<CompositePropagator>(
            RequestIdPropagator(),
            HeaderPropagator<std::string>(kTenant, "x-tenant", StringCodec(),
                                          {/*max_bytes=*/16}),
            HeaderPropagator<int>(kPriority, "x-priority", IntCodec(0, 9)))) {}

  std::string Received(const MapCarrier& carrier) const {
    return DescribeExtract(*propagator_, carrier, Background());
  }
  std::string Sent(const Context& ctx) const {
    MapCarrier carrier;
    return DescribeInject(*propagator_, ctx, carrier);
  }

  const std::shared_ptr<const CompositePropagator> propagator_;
};

TEST_F(DescribeTest, EachReceivedHeaderHasItsFate) {
  EXPECT_EQ(Received({{"x-request-id", "4711"},
                      {"x-tenant", "a tenant with a long name"},
                      {"x-shard", "3"},
                      {"grpc-trace-bin", "not for propagators"}}),
            "  x-request-id (4 bytes): read by RequestIdPropagator\n"
            "  x-shard (1 bytes): no propagator reads it\n"
            "  x-tenant (25 bytes): dropped by HeaderPropagator: longer than "
            "HeaderLimits\n"
            "  not received: x-priority\n");
}

TEST_F(DescribeTest, TheReasonsOfDropsDiffer) {
  EXPECT_THAT(
      Received({{"x-priority", "10"}}),
      HasSubstr("x-priority (2 bytes): dropped by HeaderPropagator: its "
                "codec rejects the value"));
  EXPECT_THAT(Received({{"x-tenant", "\x01"}}),
              HasSubstr("not printable ASCII"));
  EXPECT_THAT(Received({{"x-tenant", "a"}, {"x-tenant", "b"}}),
              HasSubstr("several values"));
  EXPECT_THAT(Received({{"x-request-id", "a b"}}),
              HasSubstr("not visible ASCII"));
}

TEST_F(DescribeTest, EachHeaderToSendHasItsFate) {
  const Context ctx =
      WithValue(WithRequestId(Background(), "4711"), kPriority, 10);
  EXPECT_EQ(Sent(ctx),
            "  x-priority: dropped by HeaderPropagator: its codec can't write "
            "the value\n"
            "  x-request-id (4 bytes): written by RequestIdPropagator\n"
            "  x-tenant: nothing to send\n");
}

TEST_F(DescribeTest, ValuesAreNeverShown) {
  const Context ctx = WithValue(Background(), kTenant, std::string("secret"));
  EXPECT_THAT(Sent(ctx), AllOf(HasSubstr("x-tenant (6 bytes): written"),
                               Not(HasSubstr("secret"))));
  EXPECT_THAT(Received({{"x-tenant", "secret"}, {"x-other", "secret"}}),
              Not(HasSubstr("secret")));
}

TEST_F(DescribeTest, ADescriptionCountsNoDrops) {
  const MapCarrier carrier{{"x-tenant", "a tenant with a long name"}};
  EXPECT_THAT(Received(carrier), HasSubstr("dropped"));
  EXPECT_EQ(propagator_->Dropped(), 0);
  // The control.
  static_cast<void>(propagator_->Extract(carrier, Background()));
  EXPECT_EQ(propagator_->Dropped(), 1);
}

TEST_F(DescribeTest, AnEdgeAndRedactionAreReasons) {
  const EdgePropagator edge(propagator_);
  EXPECT_THAT(
      DescribeExtract(edge, MapCarrier{{"x-tenant", "acme"}}, Background()),
      HasSubstr("x-tenant (4 bytes): dropped by HeaderPropagator: EdgeOptions "
                "doesn't keep it"));
  EXPECT_EQ(edge.Dropped(), 0);
  RedactOptions options;
  options.headers = {"x-tenant"};
  const RedactPropagator redact(propagator_, options);
  MapCarrier carrier;
  EXPECT_THAT(
      DescribeInject(redact,
                     WithValue(Background(), kTenant, std::string("acme")),
                     carrier),
      HasSubstr("x-tenant: dropped by HeaderPropagator: RedactOptions names "
                "it"));
}

TEST_F(DescribeTest, LimitsAreReasons) {
  InjectLimits limits;
  limits.max_bytes = 45;  // x-request-id takes 48
  const CompositePropagator small(limits, RequestIdPropagator());
  MapCarrier carrier;
  const Context ctx = WithRequestId(Background(), "4711");
  EXPECT_THAT(DescribeInject(small, ctx, carrier),
              HasSubstr("x-request-id: dropped by RequestIdPropagator: too "
                        "large for the InjectLimits"));
  EXPECT_THAT(DescribeInject(*propagator_, ctx, carrier, limits),
              HasSubstr("x-request-id: dropped by CompositePropagator: all "
                        "headers together are too large"));
}

// A propagator of one's own that knows nothing of descriptions.
class ThrowingPropagator final : public Propagator {
 public:
  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    static_cast<void>(carrier.Get("x-own"));
    if (throws_) throw std::runtime_error("no");
    dropped_.Add();
    return ctx;
  }
  void Inject(const Context&, Carrier&) const override {}
  std::vector<std::string_view> Fields() const override { return {"x-own"}; }
  int64_t Dropped() const override { return dropped_.count(); }

  bool throws_ = false;
  DropCounter dropped_;
};

TEST_F(DescribeTest, APropagatorOfOnesOwnIsDescribed) {
  ThrowingPropagator own;
  EXPECT_THAT(
      DescribeExtract(own, MapCarrier{{"x-own", "1"}}, Background()),
      HasSubstr("x-own (1 bytes): dropped by ThrowingPropagator: malformed"));
  EXPECT_EQ(own.Dropped(), 0);
  own.throws_ = true;
  EXPECT_THAT(DescribeExtract(own, MapCarrier{{"x-own", "1"}}, Background()),
              HasSubstr("threw an exception"));
}

}  // namespace
}  // namespace tether
