// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/relay.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/request_id.h"

namespace tether {
namespace {

// Returns the headers that `relay` forwards.
MapCarrier Hop(const RelayPropagator& relay, const MapCarrier& in) {
  MapCarrier out;
  relay.Inject(relay.Extract(in, Background()), out);
  return out;
}

TEST(RelayPropagatorTest, PassesListedHeadersOnAndNoOthers) {
  const RelayPropagator relay({"x-a", "x-b"});
  const MapCarrier out =
      Hop(relay, MapCarrier{{"x-a", "1"}, {"x-b", ""}, {"x-c", "3"}});
  EXPECT_EQ(out.map(), (MapCarrier::Map{{"x-a", "1"}, {"x-b", ""}}));
  EXPECT_EQ(relay.Dropped(), 0);
}

TEST(RelayPropagatorTest, PassesValuesOnThatNobodyCouldDecode) {
  const RelayPropagator relay({"x-request-id"});
  const std::string odd = "  not an id \"\\,;=%zz~ ";
  EXPECT_EQ(Hop(relay, MapCarrier{{"x-request-id", odd}}).Get("x-request-id"),
            odd);
}

TEST(RelayPropagatorTest, PassesRepeatedHeadersOnInOrder) {
  const RelayPropagator relay({"x-a"});
  MapCarrier in;
  for (const char* value : {"b", "a", "", "b"}) in.Add("x-a", value);
  EXPECT_EQ(Hop(relay, in).map(), in.map());
  EXPECT_EQ(relay.Dropped(), 0);
}

TEST(RelayPropagatorTest, PassesAllBytesOfBinaryHeadersOn) {
  const RelayPropagator relay({"x-a-bin"});
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  MapCarrier in;
  in.Add("x-a-bin", bytes);
  in.Add("x-a-bin", std::string(3, '\0'));
  EXPECT_EQ(Hop(relay, in).map(), in.map());
}

TEST(RelayPropagatorTest, DropsBytesThatGrpcCouldNotSend) {
  const RelayPropagator relay({"x-a"});
  int64_t dropped = 0;
  for (int c = 0; c < 256; ++c) {
    const bool good = c >= 0x20 && c < 0x7f;
    const MapCarrier out =
        Hop(relay, MapCarrier{{"x-a", std::string(1, static_cast<char>(c))}});
    EXPECT_EQ(out.map().size(), good ? 1u : 0u) << c;
    if (!good) ++dropped;
    EXPECT_EQ(relay.Dropped(), dropped);
  }
}

TEST(RelayPropagatorTest, DropsAHeaderBeyondItsLimitsWithAllItsValues) {
  RelayLimits limits;
  limits.max_value_bytes = 4;
  limits.max_values = 3;
  limits.max_bytes = 10;
  const RelayPropagator relay({"x-a", "x-b"}, limits);
  MapCarrier in;
  in.Add("x-a", "1234");
  in.Add("x-a", "12345");
  in.Add("x-b", "12");  // has all the room that there is
  EXPECT_EQ(Hop(relay, in).map(), (MapCarrier::Map{{"x-b", "12"}}));
  EXPECT_EQ(relay.Dropped(), 1);

  in = MapCarrier();
  for (int i = 0; i < 4; ++i) in.Add("x-a", "1");
  in.Add("x-b", "1");
  EXPECT_EQ(Hop(relay, in).map(), (MapCarrier::Map{{"x-b", "1"}}));
  EXPECT_EQ(relay.Dropped(), 2);

  in = MapCarrier();
  for (int i = 0; i < 3; ++i) in.Add("x-a", "123");
  in.Add("x-b", "1");
  EXPECT_EQ(Hop(relay, in).map(), in.map());
  EXPECT_EQ(relay.Dropped(), 2);
  in.Set("x-b", "12");  // together one too much
  EXPECT_EQ(Hop(relay, in).Get("x-b"), std::nullopt);
  EXPECT_EQ(Hop(relay, in).Get("x-a", 2), "123");
  EXPECT_EQ(relay.Dropped(), 4);
}

TEST(RelayPropagatorTest, LowerCasesNamesAndTakesEachOnce) {
  const RelayPropagator relay({"X-A", "x-a"});
  EXPECT_EQ(relay.Fields(), std::vector<std::string_view>{"x-a"});
  EXPECT_EQ(
      Hop(relay, MapCarrier{{"X-A", "1"}, {"te", "trailers"}, {"host", "h"}})
          .map(),
      (MapCarrier::Map{{"x-a", "1"}}));
}

TEST(RelayPropagatorTest, ANameThatCannotBePassedOnFailsAtConstruction) {
  for (const char* name :
       {"", "x b", ":path", "grpc-timeout", "tether-timeout", "TE", "Host",
        "content-type", "user-agent", "connection"}) {
    EXPECT_THROW(RelayPropagator({"x-a", name}), std::invalid_argument) << name;
  }
}

TEST(RelayPropagatorTest, WithoutListedHeadersReturnsTheSameContext) {
  const RelayPropagator relay({"x-a"});
  const Context ctx = WithRequestId(Background(), "r");
  EXPECT_EQ(relay.Extract(MapCarrier{{"x-b", "1"}}, ctx), ctx);
  MapCarrier out;
  relay.Inject(ctx, out);
  EXPECT_TRUE(out.map().empty());
  EXPECT_EQ(relay.MaxInjectBytes(ctx), 0u);
}

TEST(RelayPropagatorTest, SeveralOfThemKeepWhatTheOthersRead) {
  const CompositePropagator both{
      RelayPropagator(std::vector<std::string>{"x-a"}),
      RelayPropagator(std::vector<std::string>{"x-b"})};
  const MapCarrier in{{"x-a", "1"}, {"x-b", "2"}};
  const Context ctx = both.Extract(in, Background());
  MapCarrier out;
  both.Inject(ctx, out);
  EXPECT_EQ(out.map(), in.map());

  // The list of the writing propagator decides.
  MapCarrier less;
  RelayPropagator({"x-b", "x-c"}).Inject(ctx, less);
  EXPECT_EQ(less.map(), (MapCarrier::Map{{"x-b", "2"}}));
}

TEST(RelayPropagatorTest, ALaterRequestsHeaderReplacesTheEarlierOne) {
  const RelayPropagator relay({"x-a", "x-b"});
  const Context first =
      relay.Extract(MapCarrier{{"x-a", "1"}, {"x-b", "2"}}, Background());
  MapCarrier out;
  relay.Inject(relay.Extract(MapCarrier{{"x-a", "3"}}, first), out);
  EXPECT_EQ(out.map(), (MapCarrier::Map{{"x-a", "3"}, {"x-b", "2"}}));
}

TEST(RelayPropagatorTest, LeavesTheApplicationsOwnHeaderAlone) {
  const RelayPropagator relay({"x-a"});
  MapCarrier in;
  in.Add("x-a", "1");
  in.Add("x-a", "2");
  MapCarrier out{{"x-a", "mine"}};
  relay.Inject(relay.Extract(in, Background()), out);
  EXPECT_EQ(out.map(), (MapCarrier::Map{{"x-a", "mine"}}));
  EXPECT_EQ(relay.Dropped(), 0);
}

// A carrier that can't repeat headers.
class SingleCarrier final : public Carrier {
 public:
  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    return map_.Get(key, index);
  }
  void Set(std::string_view key, std::string_view value) override {
    map_.Set(key, value);
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    map_.ForEachKey(visit);
  }
  const MapCarrier& map() const { return map_; }

 private:
  MapCarrier map_;
};

TEST(RelayPropagatorTest, DropsARepeatedHeaderWholeWhereItCannotBeWritten) {
  const auto relay =
      std::make_shared<RelayPropagator>(std::vector<std::string>{"x-a", "x-b"});
  MapCarrier in{{"x-b", "1"}};
  in.Add("x-a", "1");
  in.Add("x-a", "2");
  const Context ctx = relay->Extract(in, Background());
  SingleCarrier out;
  relay->Inject(ctx, out);
  EXPECT_EQ(out.map().map(), (MapCarrier::Map{{"x-b", "1"}}));
  EXPECT_EQ(relay->Dropped(), 1);

  SingleCarrier through_limits;
  const CompositePropagator composite{relay};
  composite.Inject(ctx, through_limits);
  EXPECT_EQ(through_limits.map().map(), (MapCarrier::Map{{"x-b", "1"}}));
  EXPECT_EQ(composite.Dropped(), 2);
}

TEST(RelayPropagatorTest, SaysHowMuchItWrites) {
  const RelayPropagator relay({"x-a", "x-a-bin"});
  const Context ctx = relay.Extract(
      MapCarrier{{"x-a", "12345"}, {"x-a-bin", "1234"}}, Background());
  // The second is sent in base64: 8 bytes.
  EXPECT_EQ(relay.MaxInjectBytes(ctx), (3u + 5u + 32u) + (7u + 8u + 32u));
}

TEST(RelayPropagatorTest, DebugStringShowsNoValue) {
  const RelayPropagator relay({"x-secret"});
  const Context ctx =
      relay.Extract(MapCarrier{{"x-secret", "secret"}}, Background());
  EXPECT_EQ(ctx.DebugString(), "Background.WithValue(relayed)");
}

}  // namespace
}  // namespace tether
