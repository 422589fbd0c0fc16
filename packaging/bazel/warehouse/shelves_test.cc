// SPDX-License-Identifier: Apache-2.0

#include "warehouse/shelves.h"

#include "gtest/gtest.h"

namespace {

TEST(ShelvesTest, InlineCodeOfAbseilIsReachedThroughALibrary) {
  EXPECT_EQ(Shelf("A"), "A: 12");
}

}  // namespace
