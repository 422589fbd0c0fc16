// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/request_id.h"

#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"

namespace tether {
namespace {

class RequestIdPropagatorTest : public ::testing::Test {
 protected:
  // Returns the id that is extracted, or "(none)".
  std::string Extract(std::string_view header) {
    MapCarrier carrier;
    carrier.Add("x-request-id", header);
    const Context ctx = propagator_.Extract(carrier, Background());
    return RequestIdOf(ctx) == nullptr ? "(none)" : *RequestIdOf(ctx);
  }

  RequestIdPropagator propagator_;
};

TEST_F(RequestIdPropagatorTest, CarriesTheIdByteForByte) {
  const std::string id = "!0aZ~-_./:=,;\"'";
  EXPECT_EQ(Extract(id), id);
  MapCarrier carrier;
  propagator_.Inject(WithRequestId(Background(), id), carrier);
  EXPECT_EQ(carrier.map(), (MapCarrier::Map{{"x-request-id", id}}));
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(RequestIdPropagatorTest, TakesVisibleAsciiOnly) {
  int64_t dropped = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string id = std::string("a") + static_cast<char>(byte) + "b";
    const bool good = byte > 0x20 && byte < 0x7f;
    EXPECT_EQ(Extract(id), good ? id : "(none)") << byte;
    if (!good) ++dropped;
    EXPECT_EQ(propagator_.Dropped(), dropped);
  }
}

TEST_F(RequestIdPropagatorTest, LimitsTheLengthTo1To128) {
  EXPECT_EQ(Extract(""), "(none)");
  EXPECT_EQ(propagator_.Dropped(), 1);
  EXPECT_EQ(Extract("a"), "a");
  EXPECT_EQ(Extract(std::string(128, 'a')), std::string(128, 'a'));
  EXPECT_EQ(propagator_.Dropped(), 1);
  EXPECT_EQ(Extract(std::string(129, 'a')), "(none)");
  EXPECT_EQ(Extract(std::string(1 << 20, 'a')), "(none)");
  EXPECT_EQ(propagator_.Dropped(), 3);
}

TEST_F(RequestIdPropagatorTest, EqualCopiesCountAsOne) {
  MapCarrier carrier;
  for (int i = 0; i < 16; ++i) carrier.Add("x-request-id", "a");
  const Context ctx = propagator_.Extract(carrier, Background());
  ASSERT_NE(RequestIdOf(ctx), nullptr);
  EXPECT_EQ(*RequestIdOf(ctx), "a");
  EXPECT_EQ(propagator_.Dropped(), 0);
  carrier.Add("x-request-id", "a");  // more than any peer sends
  EXPECT_EQ(propagator_.Extract(carrier, Background()), Background());
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(RequestIdPropagatorTest, DropsARepeatedHeader) {
  MapCarrier carrier;
  carrier.Add("x-request-id", "a");
  carrier.Add("x-request-id", "a");
  carrier.Add("x-request-id", "b");
  EXPECT_EQ(propagator_.Extract(carrier, Background()), Background());
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(RequestIdPropagatorTest, WithoutHeaderReturnsTheSameContext) {
  const Context ctx = WithRequestId(Background(), "mine");
  EXPECT_EQ(propagator_.Extract(MapCarrier(), ctx), ctx);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(RequestIdPropagatorTest, InjectWithoutAnIdWritesNothing) {
  MapCarrier carrier;
  propagator_.Inject(Background(), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(RequestIdPropagatorTest, InjectDropsWhatExtractWouldDrop) {
  int64_t dropped = 0;
  for (const std::string& bad :
       {std::string(), std::string("a b"), std::string("a\r\nx-evil: 1"),
        std::string(129, 'a'), std::string("a\0b", 3)}) {
    MapCarrier carrier;
    propagator_.Inject(WithRequestId(Background(), bad), carrier);
    EXPECT_TRUE(carrier.map().empty());
    EXPECT_EQ(propagator_.Dropped(), ++dropped);
  }
}

TEST_F(RequestIdPropagatorTest, HeaderAndLimitAreOptions) {
  const RequestIdPropagator propagator({"X-Correlation-ID", 3});
  EXPECT_EQ(propagator.Fields(),
            std::vector<std::string_view>{"x-correlation-id"});
  MapCarrier carrier;
  carrier.Add("x-correlation-id", "abc");
  carrier.Add("x-request-id", "other");
  const Context ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(*RequestIdOf(ctx), "abc");
  carrier.Set("x-correlation-id", "abcd");
  EXPECT_EQ(propagator.Extract(carrier, Background()), Background());
  EXPECT_EQ(propagator.Dropped(), 1);
}

TEST_F(RequestIdPropagatorTest, MakesAnIdByOptionWhereNoGoodOneCameIn) {
  RequestIdOptions options;
  options.make_if_absent = true;
  const RequestIdPropagator propagator(options);
  std::set<std::string> ids;
  for (const MapCarrier& carrier :
       {MapCarrier(), MapCarrier{{"x-request-id", "not good"}},
        MapCarrier{{"x-request-id", "a"}, {"x-request-id", "b"}}}) {
    const Context ctx = propagator.Extract(carrier, Background());
    ASSERT_NE(RequestIdOf(ctx), nullptr);
    EXPECT_EQ(RequestIdOf(ctx)->size(), 32u);
    EXPECT_EQ(RequestIdOf(ctx)->find_first_not_of("0123456789abcdef"),
              std::string::npos);
    ids.insert(*RequestIdOf(ctx));
  }
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(propagator.Dropped(), 2);

  const Context good =
      propagator.Extract(MapCarrier{{"x-request-id", "a"}}, Background());
  EXPECT_EQ(*RequestIdOf(good), "a");
  EXPECT_EQ(propagator.Extract(MapCarrier(), good), good);
}

TEST_F(RequestIdPropagatorTest, MakesNoneByDefault) {
  EXPECT_EQ(propagator_.Extract(MapCarrier(), Background()), Background());
}

TEST_F(RequestIdPropagatorTest, AnIllegalHeaderNameFailsAtConstruction) {
  for (const char* name : {"", "x id", "grpc-id", "te"}) {
    RequestIdOptions options;
    options.header = name;
    EXPECT_THROW(RequestIdPropagator{options}, std::invalid_argument) << name;
  }
}

TEST(RequestIdOfTest, IsNullWithoutOneAndTheNearestWithSome) {
  EXPECT_EQ(RequestIdOf(Background()), nullptr);
  const Context a = WithRequestId(Background(), "outer");
  const Context b = WithRequestId(a, "inner");
  EXPECT_EQ(*RequestIdOf(a), "outer");
  EXPECT_EQ(*RequestIdOf(b), "inner");
}

}  // namespace
}  // namespace tether
