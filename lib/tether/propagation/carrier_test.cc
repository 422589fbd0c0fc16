// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/carrier.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"

namespace tether {
namespace {

TEST(MapCarrierTest, GetsValuesInTheOrderAdded) {
  MapCarrier carrier;
  carrier.Add("k", "first");
  carrier.Add("other", "x");
  carrier.Add("k", "second");
  EXPECT_EQ(carrier.Get("k"), "first");
  EXPECT_EQ(carrier.Get("k", 1), "second");
  EXPECT_EQ(carrier.Get("k", 2), std::nullopt);
  EXPECT_EQ(carrier.Get("k", -1), std::nullopt);
  EXPECT_EQ(carrier.Get("absent"), std::nullopt);
}

TEST(MapCarrierTest, SetReplacesAllValues) {
  MapCarrier carrier;
  carrier.Add("k", "first");
  carrier.Add("k", "second");
  carrier.Set("k", "third");
  EXPECT_EQ(carrier.map(), (MapCarrier::Map{{"k", "third"}}));
}

TEST(MapCarrierTest, SetTakesViewsOfItsOwnValues) {
  MapCarrier carrier;
  carrier.Add("k", "a value that is too long for the small buffer");
  carrier.Set("k", carrier.Get("k")->substr(2));
  EXPECT_EQ(carrier.Get("k"), "value that is too long for the small buffer");
}

TEST(MapCarrierTest, LowerCasesTheKeysItIsGiven) {
  MapCarrier carrier(MapCarrier::Map{{"X-A", "1"}, {"x-a", "2"}});
  carrier.Add("X-B", "3");
  EXPECT_EQ(carrier.Get("x-a"), "1");
  EXPECT_EQ(carrier.Get("x-a", 1), "2");
  EXPECT_EQ(carrier.Get("x-b"), "3");
  carrier.Set("X-B", "4");
  EXPECT_EQ(carrier.Get("x-b"), "4");
  EXPECT_EQ(carrier.Get("x-b", 1), std::nullopt);
}

TEST(MapCarrierTest, IsMadeFromAListOfHeaders) {
  EXPECT_EQ(MapCarrier({{"A", "1"}, {"b", "2"}, {"a", "3"}}).map(),
            (MapCarrier::Map{{"a", "1"}, {"a", "3"}, {"b", "2"}}));
  EXPECT_EQ((MapCarrier{{"a", "1"}}).map(), (MapCarrier::Map{{"a", "1"}}));
  EXPECT_TRUE(MapCarrier{}.map().empty());
}

TEST(MapCarrierTest, AddPutsAValueBesideTheOthers) {
  MapCarrier carrier;
  EXPECT_TRUE(carrier.Add("k", "1"));
  EXPECT_TRUE(carrier.Add("k", "2"));
  EXPECT_EQ(carrier.Get("k"), "1");
  EXPECT_EQ(carrier.Get("k", 1), "2");
}

// A carrier that does not override Add.
class OldCarrier final : public Carrier {
 public:
  std::optional<std::string_view> Get(std::string_view, int) const override {
    return std::nullopt;
  }
  void Set(std::string_view, std::string_view) override { ADD_FAILURE(); }
  void ForEachKey(absl::FunctionRef<void(std::string_view)>) const override {}
};

TEST(CarrierTest, AddDoesNothingUnlessOverridden) {
  OldCarrier carrier;
  EXPECT_FALSE(carrier.Add("k", "1"));
}

TEST(MapCarrierTest, VisitsEachKeyOnce) {
  MapCarrier carrier;
  carrier.Add("b", "1");
  carrier.Add("a", "1");
  carrier.Add("b", "2");
  std::vector<std::string> keys;
  carrier.ForEachKey([&](std::string_view key) { keys.emplace_back(key); });
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "b"}));
}

TEST(MapCarrierTest, KeepsAnyBytes) {
  MapCarrier carrier;
  const std::string_view bytes("\0\xff\n", 3);
  carrier.Set(bytes, bytes);
  EXPECT_EQ(carrier.Get(bytes), bytes);
}

}  // namespace
}  // namespace tether
