// SPDX-License-Identifier: Apache-2.0
//
// Keys and values of contexts, hidden values, and lookups in chains of any
// length.

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/testing/leak_checked_test.h"

namespace tether {
namespace {

constexpr Key<std::string> kUser{"user"};
constexpr Key<std::string> kAlsoCalledUser{"user"};
constexpr Key<int> kNumber{"number"};

class ContextValueTest : public testing::LeakCheckedTest {};

TEST_F(ContextValueTest, IsNullIfItWasNeverSet) {
  EXPECT_EQ(Background().Value(kUser), nullptr);
  EXPECT_EQ(Todo().Value(kUser), nullptr);
  EXPECT_EQ(WithValue(Background(), kNumber, 1).Value(kUser), nullptr);
}

TEST_F(ContextValueTest, IsFoundInDescendantsAndNotInTheParent) {
  auto [parent, cancel] = WithCancel(Background());
  const Context ctx = WithValue(parent, kUser, "ada");
  auto [child, cancel_child] = WithCancel(ctx);
  const Context leaf = WithoutCancel(WithValue(child, kNumber, 1));
  for (const Context& c : {ctx, child, leaf}) {
    ASSERT_NE(c.Value(kUser), nullptr);
    EXPECT_EQ(*c.Value(kUser), "ada");
    // The same object, not a copy.
    EXPECT_EQ(c.Value(kUser), ctx.Value(kUser));
  }
  EXPECT_EQ(parent.Value(kUser), nullptr);
}

TEST_F(ContextValueTest, TheNearestHidesTheOthers) {
  const Context outer = WithValue(Background(), kUser, "outer");
  const Context inner = WithValue(outer, kUser, "inner");
  EXPECT_EQ(*inner.Value(kUser), "inner");
  EXPECT_EQ(*outer.Value(kUser), "outer");
}

TEST_F(ContextValueTest, KeysDifferByAddressNotByName) {
  const Context ctx = WithValue(Background(), kUser, "ada");
  EXPECT_EQ(ctx.Value(kAlsoCalledUser), nullptr);
  const Context both = WithValue(ctx, kAlsoCalledUser, "bob");
  EXPECT_EQ(*both.Value(kUser), "ada");
  EXPECT_EQ(*both.Value(kAlsoCalledUser), "bob");
}

TEST_F(ContextValueTest, IsThereAfterTheContextEnded) {
  auto [parent, cancel] = WithCancel(Background());
  const Context ctx = WithValue(parent, kUser, "ada");
  cancel();
  EXPECT_EQ(*ctx.Value(kUser), "ada");
  EXPECT_EQ(*WithValue(ctx, kNumber, 1).Value(kUser), "ada");
}

TEST_F(ContextValueTest, IsValidAsLongAsADescendantLives) {
  Context leaf;
  const std::string* value;
  {
    const Context ctx = WithValue(Background(), kUser, std::string(100, 'x'));
    value = ctx.Value(kUser);
    leaf = WithValue(ctx, kNumber, 1);
  }
  EXPECT_EQ(*value, std::string(100, 'x'));
  EXPECT_EQ(leaf.Value(kUser), value);
}

TEST_F(ContextValueTest, IsDestroyedOnceWithTheLastContext) {
  static constexpr Key<std::shared_ptr<int>> kShared{"shared"};
  auto shared = std::make_shared<int>(1);
  std::optional<Context> ctx = WithValue(Background(), kShared, shared);
  std::optional<Context> child = WithValue(*ctx, kNumber, 2);
  EXPECT_EQ(shared.use_count(), 2);
  ctx.reset();
  EXPECT_EQ(shared.use_count(), 2);
  child.reset();
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(ContextValueTest, MayBeMoveOnlyEmptyLargeOrConst) {
  struct Empty {};
  struct Large {
    std::array<char, 128> bytes;
  };
  static constexpr Key<std::unique_ptr<int>> kMoveOnly{"move_only"};
  static constexpr Key<Empty> kEmpty{"empty"};
  static constexpr Key<Large> kLarge{"large"};
  static constexpr Key<const int> kConst{"const"};
  Context ctx = WithValue(Background(), kMoveOnly, std::make_unique<int>(5));
  ctx = WithValue(ctx, kEmpty, {});
  ctx = WithValue(ctx, kLarge, Large{{'l'}});
  ctx = WithValue(ctx, kConst, 7);
  EXPECT_EQ(**ctx.Value(kMoveOnly), 5);
  EXPECT_NE(ctx.Value(kEmpty), nullptr);
  EXPECT_EQ(ctx.Value(kLarge)->bytes[0], 'l');
  EXPECT_EQ(*ctx.Value(kConst), 7);
}

TEST_F(ContextValueTest, AConstructorThatThrowsLeavesNothingBehind) {
  struct Throws {
    Throws() = default;
    Throws(const Throws&) { throw std::runtime_error("copy"); }
  };
  static constexpr Key<Throws> kThrows{"throws"};
  auto [parent, cancel] = WithCancel(Background());
  EXPECT_THROW((void)WithValue(parent, kThrows, {}), std::runtime_error);
  EXPECT_EQ(LiveNodes(), 1);
}

TEST_F(ContextValueTest, ADestructorMayUseContexts) {
  // The last context with the value is destroyed while a chain is being freed.
  struct UsesContexts {
    Cancellable own;
    ~UsesContexts() {
      own.cancel();
      auto [child, cancel] = WithCancel(own.ctx);
    }
  };
  static constexpr Key<std::unique_ptr<UsesContexts>> kKey{"key"};
  auto [parent, cancel] = WithCancel(Background());
  auto value = std::make_unique<UsesContexts>();
  value->own = WithCancel(parent);
  auto [leaf, cancel_leaf] =
      WithCancel(WithValue(parent, kKey, std::move(value)));
}

// Compares chains of 0 to 200 values under 24 keys, with other contexts in
// between, with a map.
TEST_F(ContextValueTest, LookupsAgreeWithAMapInChainsOfAnyLength) {
  constexpr int kKeys = 24;
  std::vector<std::unique_ptr<Key<int>>> keys;
  for (int i = 0; i < kKeys; ++i) {
    keys.push_back(std::make_unique<Key<int>>("key"));
  }
  const auto seed =
      static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  for (int length = 0; length <= 200; ++length) {
    std::mt19937 random(seed + length);
    // Some chains have few keys, so that lookups miss.
    const int in_use = std::uniform_int_distribution<>(1, kKeys)(random);
    Context ctx;
    std::vector<CancelFunc> cancels;
    std::map<int, int> model;
    for (int i = 0; i < length; ++i) {
      const int key = std::uniform_int_distribution<>(0, in_use - 1)(random);
      ctx = WithValue(ctx, *keys[key], i);
      model[key] = i;
      switch (random() % 6) {
        case 0: {
          Cancellable child = WithCancel(ctx);
          ctx = child.ctx;
          cancels.push_back(std::move(child.cancel));
          break;
        }
        case 1:
          ctx = WithoutCancel(ctx);
          break;
        default:
          break;
      }
    }
    for (int key = 0; key < kKeys; ++key) {
      const int* found = ctx.Value(*keys[key]);
      const auto expected = model.find(key);
      if (expected == model.end()) {
        EXPECT_EQ(found, nullptr) << length << " key " << key;
      } else {
        ASSERT_NE(found, nullptr) << length << " key " << key;
        EXPECT_EQ(*found, expected->second) << length << " key " << key;
      }
    }
  }
}

TEST_F(ContextValueTest, BranchesOfATreeKeepTheirOwnValues) {
  // The chains share their upper part; they split inside a segment and at its
  // ends.
  std::vector<std::unique_ptr<Key<int>>> keys;
  for (int i = 0; i < 40; ++i) {
    keys.push_back(std::make_unique<Key<int>>("key"));
  }
  Context trunk;
  for (int split = 0; split < 40; ++split) {
    const Context left = WithValue(trunk, *keys[split], -1);
    const Context right = WithValue(trunk, *keys[39 - split], -2);
    EXPECT_EQ(*left.Value(*keys[split]), -1);
    EXPECT_EQ(*right.Value(*keys[39 - split]), -2);
    for (int i = 0; i < split; ++i) {
      if (i != split) {
        ASSERT_EQ(*left.Value(*keys[i]), i);
      }
      if (i != 39 - split) {
        ASSERT_EQ(*right.Value(*keys[i]), i);
      }
    }
    trunk = WithValue(trunk, *keys[split], split);
  }
}

}  // namespace
}  // namespace tether
