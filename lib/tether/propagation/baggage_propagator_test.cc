// SPDX-License-Identifier: Apache-2.0
//
// How baggage crosses a hop.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"

namespace tether {
namespace {

// Returns "k1=…,k2=…": `n` entries of `size` bytes each.
std::string Members(int n, size_t size) {
  std::string text;
  for (int i = 1; i <= n; ++i) {
    if (!text.empty()) text += ',';
    std::string member = "k" + std::to_string(i) + "=";
    member.resize(size, 'x');
    text += member;
  }
  return text;
}

class BaggagePropagatorTest : public ::testing::Test {
 protected:
  std::string Extract(const std::vector<std::string>& headers) {
    MapCarrier carrier;
    for (const std::string& s : headers) carrier.Add("baggage", s);
    return std::string(
        BaggageOf(propagator_.Extract(carrier, Background())).header());
  }

  BaggagePropagator propagator_;
};

TEST_F(BaggagePropagatorTest, SeveralHeadersAreOneList) {
  EXPECT_EQ(Extract({"userId=alice", "serverNode=DF%2028,isProduction=false"}),
            "userId=alice,serverNode=DF%2028,isProduction=false");
  EXPECT_EQ(Extract({"", "a=1", ""}), "a=1");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(BaggagePropagatorTest, LimitsApplyToAllHeadersTogether) {
  EXPECT_EQ(Extract({Members(40, 8), Members(40, 8)}),
            Members(40, 8) + "," + Members(24, 8));
  EXPECT_EQ(propagator_.Dropped(), 16);
  EXPECT_EQ(Extract({Members(40, 128), Members(24, 128)}).size(),
            63u * 129u - 1u);
  EXPECT_EQ(propagator_.Dropped(), 17);
}

TEST_F(BaggagePropagatorTest, TakesNoMoreThan64Headers) {
  std::vector<std::string> headers(64, "");
  headers[63] = "a=1";
  EXPECT_EQ(Extract(headers), "a=1");
  EXPECT_EQ(propagator_.Dropped(), 0);
  headers.push_back("b=2");
  headers.push_back("c=3");
  EXPECT_EQ(Extract(headers), "a=1");
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(BaggagePropagatorTest, PassesEntriesOnByteForByte) {
  const std::string sent = "a=%c3%a9%41;p=%2C,b=1,a=2";
  MapCarrier in;
  in.Set("baggage", sent);
  MapCarrier out;
  propagator_.Inject(propagator_.Extract(in, Background()), out);
  EXPECT_EQ(out.map(), (MapCarrier::Map{{"baggage", sent}}));
}

TEST_F(BaggagePropagatorTest, WithoutAGoodEntryReturnsTheSameContext) {
  const Context ctx = WithBaggage(Background(), Baggage().With("a", "1"));
  EXPECT_EQ(propagator_.Extract(MapCarrier(), ctx), ctx);
  EXPECT_EQ(propagator_.Extract(MapCarrier{{"baggage", ""}}, ctx), ctx);
  EXPECT_EQ(propagator_.Dropped(), 0);
  EXPECT_EQ(propagator_.Extract(MapCarrier{{"baggage", "bad"}}, ctx), ctx);
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(BaggagePropagatorTest, InjectWithoutBaggageWritesNothing) {
  MapCarrier out;
  propagator_.Inject(Background(), out);
  propagator_.Inject(WithBaggage(Background(), Baggage()), out);
  EXPECT_TRUE(out.map().empty());
  EXPECT_EQ(propagator_.MaxInjectBytes(Background()), 0u);
}

TEST_F(BaggagePropagatorTest, InjectKeepsToTheLimits) {
  const BaggagePropagator propagator({2, 9});
  const auto sent = [&propagator](const Baggage& baggage) {
    MapCarrier out;
    propagator.Inject(WithBaggage(Background(), baggage), out);
    return std::string(out.Get("baggage").value_or("(none)"));
  };
  EXPECT_EQ(sent(Baggage::Parse("a=1,b=234")), "a=1,b=234");
  EXPECT_EQ(propagator.Dropped(), 0);
  EXPECT_EQ(sent(Baggage::Parse("a=1,b=2,c=3")), "a=1,b=2");
  EXPECT_EQ(propagator.Dropped(), 1);
  EXPECT_EQ(sent(Baggage::Parse("a=1,b=2345")), "a=1");
  EXPECT_EQ(propagator.Dropped(), 2);
  EXPECT_EQ(sent(Baggage::Parse("a=12345678")), "(none)");
  EXPECT_EQ(propagator.Dropped(), 3);
}

TEST_F(BaggagePropagatorTest, SurvivesHostileHeaders) {
  EXPECT_EQ(Extract({std::string(1 << 20, ',')}), "");
  EXPECT_EQ(propagator_.Dropped(), 0);
  EXPECT_EQ(Extract({std::string(1 << 20, 'a')}), "");
  EXPECT_EQ(Extract({"a=" + std::string(1 << 20, '%')}), "");
  EXPECT_EQ(Extract({"a=" + std::string(1 << 20, 'x')}), "");
  EXPECT_EQ(Extract({"a=1" + std::string(1 << 20, ';')}), "");
  EXPECT_EQ(Extract({std::string("a=1\0", 4)}), "");
  EXPECT_EQ(Extract({"a=1\r\nx-evil: 1"}), "");
  EXPECT_EQ(propagator_.Dropped(), 6);
}

TEST_F(BaggagePropagatorTest, DebugStringNamesItAndShowsNoValue) {
  const Context ctx =
      WithBaggage(Background(), Baggage().With("secret.key", "secret value"));
  EXPECT_EQ(ctx.DebugString(), "Background.WithValue(baggage)");
}

TEST_F(BaggagePropagatorTest, NamesItsField) {
  EXPECT_EQ(propagator_.Fields(), std::vector<std::string_view>{"baggage"});
}

}  // namespace
}  // namespace tether
