// SPDX-License-Identifier: Apache-2.0

#include "warehouse/warehouse.h"

#include "gtest/gtest.h"

namespace {

TEST(WarehouseTest, TheDeadlineOfTheCallerEndsTheServersContext) {
  // On a very slow machine, the call may end before it reaches the server.
  std::string seen;
  for (int attempt = 0; attempt < 20 && seen.empty(); ++attempt) {
    seen = AskOnce();
  }
  EXPECT_EQ(seen, "the server's context ended: DEADLINE_EXCEEDED");
}

}  // namespace
