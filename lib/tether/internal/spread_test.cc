// SPDX-License-Identifier: Apache-2.0
//
// Copies that count their references apart: one for each thread, and the object
// lives until the last of them is gone.

#include "tether/internal/spread.h"

#include <memory>
#include <thread>
#include <utility>

#include "gtest/gtest.h"

namespace tether::internal {
namespace {

TEST(SpreadTest, AThreadHasOneCopyAndTheNextThreadAnother) {
  int made = 0;
  const Spread<int> numbers([&made] { return ++made; });
  EXPECT_GE(made, 4);
  EXPECT_LE(made, 64);
  const int* const own = &numbers.get();
  EXPECT_EQ(&numbers.get(), own);
  std::thread([&] { EXPECT_NE(&numbers.get(), own); }).join();
}

TEST(SpreadTest, OwnersOfTwoThreadsShareNoCount) {
  const auto owners = SpreadOwners(std::make_shared<int>(7));
  const std::shared_ptr<int> own = owners.get();
  EXPECT_EQ(*own, 7);
  EXPECT_EQ(owners.get().use_count(), 2);
  std::thread([&] {
    EXPECT_EQ(owners.get().get(), own.get());
    EXPECT_EQ(owners.get().use_count(), 1);
    const std::shared_ptr<int> another = owners.get();
    EXPECT_EQ(owners.get().use_count(), 2);
  }).join();
  EXPECT_EQ(owners.get().use_count(), 2);
}

TEST(SpreadTest, TheObjectLivesUntilItsLastOwnerIsGone) {
  auto object = std::make_shared<int>(7);
  const std::weak_ptr<int> alive = object;
  std::shared_ptr<int> owner;
  {
    const auto owners = SpreadOwners(std::move(object));
    owner = owners.get();
  }
  EXPECT_EQ(*owner, 7);
  EXPECT_FALSE(alive.expired());
  owner.reset();
  EXPECT_TRUE(alive.expired());
}

}  // namespace
}  // namespace tether::internal
