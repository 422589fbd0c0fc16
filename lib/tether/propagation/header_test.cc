// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/header.h"

#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/codecs.h"

namespace tether {
namespace {

constexpr Key<int> kPriority{"priority"};
constexpr Key<std::string> kTenant{"tenant"};

template <typename T>
Context ExtractFrom(const HeaderPropagator<T>& propagator,
                    std::string_view header, std::string_view value) {
  MapCarrier carrier;
  carrier.Add(header, value);
  return propagator.Extract(carrier, Background());
}

TEST(HeaderPropagatorTest, CarriesATypedValue) {
  const HeaderPropagator<int> propagator(kPriority, "X-Priority",
                                         IntCodec<int>());
  EXPECT_EQ(propagator.Fields(), std::vector<std::string_view>{"x-priority"});
  MapCarrier carrier;
  propagator.Inject(WithValue(Background(), kPriority, -7), carrier);
  EXPECT_EQ(carrier.map(), (MapCarrier::Map{{"x-priority", "-7"}}));
  const Context ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(*ctx.Value(kPriority), -7);
  EXPECT_EQ(propagator.Dropped(), 0);
}

TEST(HeaderPropagatorTest, RoundTripsRandomValues) {
  const HeaderPropagator<int> propagator(kPriority, "p", IntCodec<int>());
  std::mt19937 random(5);
  for (int i = 0; i < 1000; ++i) {
    const int value = static_cast<int>(random());
    MapCarrier carrier;
    propagator.Inject(WithValue(Background(), kPriority, value), carrier);
    const Context ctx = propagator.Extract(carrier, Background());
    ASSERT_EQ(*ctx.Value(kPriority), value);
  }
}

TEST(HeaderPropagatorTest, AbsentMeansUntouched) {
  const HeaderPropagator<int> propagator(kPriority, "p", IntCodec<int>());
  const Context ctx = WithValue(Background(), kPriority, 1);
  EXPECT_EQ(propagator.Extract(MapCarrier(), ctx), ctx);
  MapCarrier carrier;
  propagator.Inject(Background(), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(propagator.Dropped(), 0);
}

TEST(HeaderPropagatorTest, DropsAndCountsWhatTheCodecRejects) {
  const HeaderPropagator<int> propagator(kPriority, "p", IntCodec<int>());
  int64_t dropped = 0;
  for (const char* bad : {"", "x", "1x", "99999999999"}) {
    EXPECT_EQ(ExtractFrom(propagator, "p", bad), Background());
    EXPECT_EQ(propagator.Dropped(), ++dropped);
  }
}

TEST(HeaderPropagatorTest, DropsAndCountsWhatTheCodecThrowsOver) {
  const HeaderPropagator<int> propagator(
      kPriority, "p",
      {[](std::string_view) -> std::optional<int> {
         throw std::runtime_error("parse");
       },
       [](const int&) -> std::string { throw 42; }});
  EXPECT_EQ(ExtractFrom(propagator, "p", "1"), Background());
  EXPECT_EQ(propagator.Dropped(), 1);
  MapCarrier carrier;
  propagator.Inject(WithValue(Background(), kPriority, 1), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(propagator.Dropped(), 2);
}

TEST(HeaderPropagatorTest, LimitsTheSizeTo1KiBByDefault) {
  const HeaderPropagator<std::string> propagator(kTenant, "t", StringCodec());
  const std::string longest(1024, 'x');
  EXPECT_EQ(*ExtractFrom(propagator, "t", longest).Value(kTenant), longest);
  EXPECT_EQ(propagator.Dropped(), 0);
  EXPECT_EQ(ExtractFrom(propagator, "t", longest + "x"), Background());
  EXPECT_EQ(ExtractFrom(propagator, "t", std::string(1 << 20, 'x')),
            Background());
  EXPECT_EQ(propagator.Dropped(), 2);
  MapCarrier carrier;
  propagator.Inject(WithValue(Background(), kTenant, longest + "x"), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(propagator.Dropped(), 3);
}

TEST(HeaderPropagatorTest, LimitIsAnOption) {
  const HeaderPropagator<std::string> propagator(kTenant, "t", StringCodec(),
                                                 HeaderLimits{2});
  EXPECT_EQ(*ExtractFrom(propagator, "t", "ab").Value(kTenant), "ab");
  EXPECT_EQ(ExtractFrom(propagator, "t", "abc"), Background());
}

TEST(HeaderPropagatorTest, DropsTextThatWouldNotArriveAsSent) {
  const HeaderPropagator<std::string> propagator(kTenant, "t", StringCodec());
  EXPECT_EQ(*ExtractFrom(propagator, "t", "a b").Value(kTenant), "a b");
  EXPECT_EQ(*ExtractFrom(propagator, "t", "").Value(kTenant), "");
  int64_t dropped = 0;
  for (const std::string& bad :
       {std::string(" a"), std::string("a "), std::string("a\nb"),
        std::string("a\tb"), std::string("a\0b", 3), std::string("\xc3\xa9"),
        std::string("\x7f")}) {
    EXPECT_EQ(ExtractFrom(propagator, "t", bad), Background());
    EXPECT_EQ(propagator.Dropped(), ++dropped);
    MapCarrier carrier;
    propagator.Inject(WithValue(Background(), kTenant, bad), carrier);
    EXPECT_TRUE(carrier.map().empty());
    EXPECT_EQ(propagator.Dropped(), ++dropped);
  }
}

TEST(HeaderPropagatorTest, CarriesAnyBytesInABinaryHeader) {
  const HeaderPropagator<std::string> propagator(kTenant, "t-bin",
                                                 StringCodec());
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  MapCarrier carrier;
  propagator.Inject(WithValue(Background(), kTenant, bytes), carrier);
  EXPECT_EQ(*propagator.Extract(carrier, Background()).Value(kTenant), bytes);
}

TEST(HeaderPropagatorTest, DropsARepeatedHeader) {
  const HeaderPropagator<int> propagator(kPriority, "p", IntCodec<int>());
  MapCarrier carrier;
  carrier.Add("p", "1");
  carrier.Add("p", "2");
  EXPECT_EQ(propagator.Extract(carrier, Background()), Background());
  EXPECT_EQ(propagator.Dropped(), 1);
}

TEST(HeaderPropagatorTest, EqualCopiesCountAsOne) {
  const HeaderPropagator<int> propagator(kPriority, "p", IntCodec<int>());
  MapCarrier carrier;
  carrier.Add("p", "1");
  carrier.Add("p", "1");
  const Context ctx = propagator.Extract(carrier, Background());
  ASSERT_NE(ctx.Value(kPriority), nullptr);
  EXPECT_EQ(*ctx.Value(kPriority), 1);
  EXPECT_EQ(propagator.Dropped(), 0);
}

TEST(HeaderPropagatorTest, NullCodecFunctionsMakeItOneWay) {
  const HeaderPropagator<int> sends(kPriority, "p",
                                    {nullptr, IntCodec<int>().format});
  const HeaderPropagator<int> receives(kPriority, "p",
                                       {IntCodec<int>().parse, nullptr});
  const Context ctx = WithValue(Background(), kPriority, 1);
  MapCarrier carrier;
  receives.Inject(ctx, carrier);
  EXPECT_TRUE(carrier.map().empty());
  sends.Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("p"), "1");
  EXPECT_EQ(sends.Extract(carrier, Background()), Background());
  EXPECT_EQ(*receives.Extract(carrier, Background()).Value(kPriority), 1);
  EXPECT_EQ(sends.Dropped() + receives.Dropped(), 0);
}

// What the constructor says about a name; "" if it accepts it.
std::string Complaint(const std::string& name) {
  try {
    const HeaderPropagator<int> propagator(kPriority, name, IntCodec<int>());
    return "";
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

TEST(HeaderPropagatorTest, AnIllegalHeaderNameFailsAtConstruction) {
  const std::string only =
      "can't be the name of a header: only letters, digits, '-', '_' and '.' "
      "are allowed";
  EXPECT_EQ(Complaint("x tenant"),
            "tether::HeaderPropagator: 'x tenant' " + only);
  EXPECT_EQ(Complaint("\xc3\xa9:\n"),
            "tether::HeaderPropagator: '??:?' " + only);
  EXPECT_EQ(Complaint(""),
            "tether::HeaderPropagator: '' can't be the name of a header: it is "
            "empty");
  EXPECT_EQ(Complaint("GRPC-Timeout"),
            "tether::HeaderPropagator: 'GRPC-Timeout' can't be the name of a "
            "header: \"grpc-...\" belongs to gRPC");
  EXPECT_EQ(Complaint("tether-x"),
            "tether::HeaderPropagator: 'tether-x' can't be the name of a "
            "header: \"tether-...\" belongs to tether");
  EXPECT_EQ(Complaint("tether"),
            "tether::HeaderPropagator: 'tether' can't be the name of a "
            "header: \"tether\" belongs to tether");
  EXPECT_EQ(Complaint("Host"),
            "tether::HeaderPropagator: 'Host' can't be the name of a header: "
            "it belongs to the connection");
  EXPECT_EQ(Complaint("X-Tenant_1.b"), "");  // control
}

}  // namespace
}  // namespace tether
