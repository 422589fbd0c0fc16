// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/limited_carrier.h"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/testing/fake_propagators.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

// Returns a propagator whose Inject calls `inject`.
testing::FakePropagator Scribe(std::function<void(Carrier&)> inject,
                               size_t max_bytes = SIZE_MAX) {
  testing::FakePropagator scribe;
  scribe.inject = [inject = std::move(inject)](
                      const Context&, Carrier& carrier) { inject(carrier); };
  scribe.max_inject_bytes = max_bytes;
  return scribe;
}

// The parameter says whether headers are written immediately or buffered.
class LimitedCarrierTest : public ::testing::TestWithParam<bool> {
 protected:
  // The MaxInjectBytes of a propagator that writes at most `bytes`.
  size_t Says(size_t bytes) const { return GetParam() ? bytes : SIZE_MAX; }

  MapCarrier inner_;
};

INSTANTIATE_TEST_SUITE_P(HeldAndStraight, LimitedCarrierTest,
                         ::testing::Bool());

TEST_P(LimitedCarrierTest, WritesAllHeadersOfAPropagatorThatFit) {
  LimitedCarrier limited(inner_, {70, 10});
  const auto scribe = Scribe(
      [](Carrier& carrier) {
        carrier.Set("a", "1");
        carrier.Add("b", "23");
      },
      Says(69));
  EXPECT_TRUE(limited.Inject(scribe, Background()));
  EXPECT_EQ(inner_.map(), (MapCarrier::Map{{"a", "1"}, {"b", "23"}}));
  EXPECT_EQ(limited.bytes(), 34u + 35u);
  EXPECT_EQ(limited.headers(), 2u);
}

TEST(LimitedCarrierHeldTest, WritesNoneOfThoseThatDoNotFitTogether) {
  MapCarrier inner;
  LimitedCarrier limited(inner, {68, 10});
  EXPECT_FALSE(limited.Inject(Scribe([](Carrier& carrier) {
                                carrier.Set("a", "1");
                                carrier.Set("b", "23");
                                carrier.Set("c", "");  // would fit
                              }),
                              Background()));
  EXPECT_TRUE(inner.map().empty());
  EXPECT_EQ(limited.bytes(), 0u);
  EXPECT_EQ(limited.headers(), 0u);
  // The next propagator may use the whole limit.
  EXPECT_TRUE(limited.Inject(Scribe([](Carrier& carrier) {
                               carrier.Set("a", "1");
                               carrier.Set("b", "2");
                             }),
                             Background()));
  EXPECT_EQ(limited.bytes(), 68u);
  EXPECT_EQ(inner.map().size(), 2u);
}

TEST(LimitedCarrierHeldTest, LimitsTheNumberOfHeaders) {
  MapCarrier inner;
  LimitedCarrier limited(inner, {1000, 2});
  const auto three = Scribe([](Carrier& carrier) {
    for (const char* key : {"a", "b", "c"}) carrier.Set(key, "");
  });
  EXPECT_FALSE(limited.Inject(three, Background()));
  EXPECT_TRUE(inner.map().empty());
  const auto two = Scribe([](Carrier& carrier) {
    carrier.Add("a", "1");
    carrier.Add("a", "2");
  });
  EXPECT_TRUE(limited.Inject(two, Background()));
  EXPECT_FALSE(limited.Inject(two, Background()));
  EXPECT_EQ(inner.map().size(), 2u);
}

TEST(LimitedCarrierHeldTest, FewHeadersLeftAreHeldEvenIfTheBytesAreKnown) {
  MapCarrier inner;
  LimitedCarrier limited(inner, {1000, 2});
  const auto three = Scribe(
      [](Carrier& carrier) {
        for (const char* key : {"a", "b", "c"}) carrier.Set(key, "");
      },
      99);
  EXPECT_FALSE(limited.Inject(three, Background()));
  EXPECT_TRUE(inner.map().empty());
}

TEST(LimitedCarrierStraightTest, HoldsAgainstAPropagatorThatWritesMore) {
  MapCarrier inner;
  LimitedCarrier limited(inner, {68, 10});
  const auto liar = Scribe(
      [](Carrier& carrier) {
        carrier.Set("a", "1");
        carrier.Set("b", "23");
        EXPECT_TRUE(carrier.Add("c", ""));
      },
      34);
  EXPECT_FALSE(limited.Inject(liar, Background()));
  EXPECT_EQ(inner.map(), (MapCarrier::Map{{"a", "1"}}));
}

TEST_P(LimitedCarrierTest, CountsBinaryHeadersAsBase64) {
  LimitedCarrier limited(inner_, {1000, 10});
  const auto scribe =
      Scribe([](Carrier& carrier) { carrier.Set("a-bin", "1234"); }, Says(100));
  EXPECT_TRUE(limited.Inject(scribe, Background()));
  EXPECT_EQ(limited.bytes(), 5u + 8u + 32u);
}

TEST_P(LimitedCarrierTest, ShowsAPropagatorWhatItHasWrittenSoFar) {
  inner_.Set("before", "0");
  LimitedCarrier limited(inner_, {1000, 10});
  const auto scribe = Scribe(
      [](Carrier& carrier) {
        EXPECT_EQ(carrier.Get("before"), "0");
        EXPECT_EQ(carrier.Get("a"), std::nullopt);
        carrier.Set("a", "1");
        EXPECT_EQ(carrier.Get("a"), "1");
        EXPECT_TRUE(carrier.Add("a", "2"));
        EXPECT_EQ(carrier.Get("a", 1), "2");
        EXPECT_EQ(carrier.Get("a", 2), std::nullopt);
        std::multiset<std::string> keys;
        carrier.ForEachKey(
            [&keys](std::string_view key) { keys.emplace(key); });
        EXPECT_EQ(keys, (std::multiset<std::string>{"a", "before"}));
        carrier.Set("a", "3");
        EXPECT_EQ(carrier.Get("a"), "3");
        EXPECT_EQ(carrier.Get("a", 1), std::nullopt);
      },
      Says(200));
  EXPECT_TRUE(limited.Inject(scribe, Background()));
  EXPECT_EQ(inner_.map(), (MapCarrier::Map{{"a", "3"}, {"before", "0"}}));
}

TEST_P(LimitedCarrierTest, SetTakesViewsOfWhatItReplaces) {
  LimitedCarrier limited(inner_, {1000, 10});
  const auto scribe = Scribe(
      [](Carrier& carrier) {
        carrier.Set("a", "a value that is too long for the small buffer");
        carrier.Set("a", carrier.Get("a")->substr(2));
      },
      Says(200));
  EXPECT_TRUE(limited.Inject(scribe, Background()));
  EXPECT_EQ(inner_.Get("a"), "value that is too long for the small buffer");
}

TEST(LimitedCarrierHeldTest, WritesNothingOfAPropagatorThatThrows) {
  MapCarrier inner;
  LimitedCarrier limited(inner, {34, 10});
  EXPECT_THROW(limited.Inject(Scribe([](Carrier& carrier) {
                                carrier.Set("a", "1");
                                throw std::runtime_error("inject");
                              }),
                              Background()),
               std::runtime_error);
  EXPECT_TRUE(inner.map().empty());
  EXPECT_EQ(limited.bytes(), 0u);
  EXPECT_TRUE(limited.Inject(
      Scribe([](Carrier& carrier) { carrier.Set("b", "1"); }), Background()));
  EXPECT_EQ(inner.map().size(), 1u);
}

TEST(LimitedCarrierHeldTest, DoesNotCallOneThatHasNothingToWrite) {
  MapCarrier inner;
  LimitedCarrier limited(inner);
  EXPECT_TRUE(
      limited.Inject(Scribe([](Carrier&) { ADD_FAILURE(); }, 0), Background()));
}

// Returns the size of the headers, as HTTP/2 counts it.
size_t BytesOf(const MapCarrier& carrier) {
  size_t bytes = 0;
  for (const auto& [key, value] : carrier.map()) {
    bytes += key.size() + value.size() + 32;
  }
  return bytes;
}

TEST(CompositeLimitsTest, PartsThatFitAreWrittenAndTheOthersCounted) {
  const CompositePropagator all{InjectLimits{200, 10}, TraceContextPropagator(),
                                BaggagePropagator()};
  const Context small = WithBaggage(WithTrace(Background(), NewTrace()),
                                    Baggage().With("k", "v"));
  MapCarrier fits;
  all.Inject(small, fits);
  EXPECT_EQ(fits.map().size(), 2u);
  EXPECT_EQ(all.Dropped(), 0);

  const Context large =
      WithBaggage(small, Baggage().With("k", std::string(100, 'v')));
  MapCarrier out;
  all.Inject(large, out);
  EXPECT_TRUE(out.Get("traceparent").has_value());
  EXPECT_EQ(out.Get("baggage"), std::nullopt);
  EXPECT_EQ(all.Dropped(), 1);
}

TEST(CompositeLimitsTest, DefaultStaysWellBelowWhatGrpcTakes) {
  const CompositePropagator all{TraceContextPropagator(), BaggagePropagator()};
  Baggage baggage;
  for (int i = 0; i < 64; ++i) {
    baggage = baggage.With("key" + std::to_string(i), std::string(80, 'x'));
    const Context ctx =
        WithBaggage(WithTrace(Background(), NewTrace()), baggage);
    MapCarrier out;
    all.Inject(ctx, out);
    EXPECT_LE(BytesOf(out), 4096u);
    EXPECT_LE(BytesOf(out), all.MaxInjectBytes(ctx));
    EXPECT_TRUE(out.Get("traceparent").has_value());
    // Baggage is written whole or not at all.
    if (out.Get("baggage").has_value()) {
      EXPECT_EQ(out.Get("baggage"), baggage.header());
    } else {
      EXPECT_GT(baggage.header().size(), 3900u);
    }
  }
  EXPECT_GT(all.Dropped(), 0);
}

TEST(CompositeLimitsTest, CompositeWithinACompositeIsAllOrNothing) {
  const auto inner = std::make_shared<CompositePropagator>(
      InjectLimits{1000, 10}, TraceContextPropagator(), BaggagePropagator());
  const CompositePropagator outer{InjectLimits{150, 10}, inner};
  const Context ctx = WithBaggage(WithTrace(Background(), NewTrace()),
                                  Baggage().With("k", std::string(100, 'v')));
  MapCarrier out;
  outer.Inject(ctx, out);
  EXPECT_TRUE(out.map().empty());
  EXPECT_EQ(outer.Dropped(), 1);
}

}  // namespace
}  // namespace tether
