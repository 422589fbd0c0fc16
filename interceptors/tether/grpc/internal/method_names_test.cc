// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/method_names.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "tether/v1/budget_report.pb.h"

namespace tether::internal {
namespace {

TEST(SetNamesTest, SplitsAtTheLastSlash) {
  const auto names = [](std::string_view method) {
    v1::CallReport call;
    SetNames(method, call);
    return std::make_pair(call.service(), call.method());
  };
  using Names = std::pair<std::string, std::string>;
  EXPECT_EQ(names("/shop.v1.Orders/GetOrder"),
            Names("shop.v1.Orders", "GetOrder"));
  EXPECT_EQ(names("/a/b/c"), Names("a/b", "c"));
  EXPECT_EQ(names("plain"), Names("plain", ""));
  EXPECT_EQ(names("/"), Names("", ""));
  EXPECT_EQ(names(""), Names("", ""));
}

}  // namespace
}  // namespace tether::internal
