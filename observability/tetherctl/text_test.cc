// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "observability/tetherctl/clean.h"

namespace tether::ctl {
namespace {

TEST(TextTest, TimesAreShort) {
  EXPECT_EQ(ShortTime(0), "0us");
  EXPECT_EQ(ShortTime(950), "950us");
  EXPECT_EQ(ShortTime(1'000), "1.0ms");
  EXPECT_EQ(ShortTime(9'999), "9.9ms");
  EXPECT_EQ(ShortTime(187'900), "187ms");
  EXPECT_EQ(ShortTime(1'050'000), "1.05s");
  EXPECT_EQ(ShortTime(98'790'000), "98.7s");
  EXPECT_EQ(ShortTime(100'000'000), "1m40s");
  EXPECT_EQ(ShortTime(609'000'000), "10m");
  EXPECT_EQ(ShortTime(7'500'000'000), "2h05m");
  EXPECT_EQ(ShortTime(172'800'000'000), "48h");
  EXPECT_EQ(ShortTime(864'000'000'000), "10d");
  EXPECT_EQ(ShortTime(kMaxNumber), "31y");
  EXPECT_EQ(ShortTime(-1'250), "-1.2ms");
  EXPECT_EQ(ShortTime(std::nullopt), "none");
}

TEST(TextTest, TimesFitIntoTheirColumn) {
  for (int64_t us = 1; us <= kMaxNumber; us += us / 7 + 1) {
    ASSERT_LE(ShortTime(-us).size(), static_cast<size_t>(kTimeWidth)) << us;
  }
  EXPECT_LE(ShortTime(-kMaxNumber).size(), static_cast<size_t>(kTimeWidth));
}

TEST(TextTest, TheMiddleOfALongTextIsCut) {
  EXPECT_EQ(ShortenMiddle("storefront", 10), "storefront");
  EXPECT_EQ(ShortenMiddle("dns:///orders.prod:443", 15), "dns:...prod:443");
  EXPECT_EQ(ShortenMiddle("storefront", 9), "st..front");
  EXPECT_EQ(ShortenMiddle("storefront", 3), "sto");
  EXPECT_EQ(ShortenMiddle("storefront", 0), "");
  EXPECT_EQ(ShortenMiddle("storefront", -1), "");
  for (int width = 0; width < 30; ++width) {
    EXPECT_LE(ShortenMiddle("dns:///orders.prod:443", width).size(),
              static_cast<size_t>(width));
  }
}

TEST(TextTest, AMethodLosesItsPackage) {
  EXPECT_EQ(WithoutPackage("/shop.v1.Orders/GetOrder"), "Orders/GetOrder");
  EXPECT_EQ(WithoutPackage("shop.v1.Orders/GetOrder"), "Orders/GetOrder");
  EXPECT_EQ(WithoutPackage("/Orders/GetOrder"), "Orders/GetOrder");
  // Dots after the service are the method's.
  EXPECT_EQ(WithoutPackage("/a.Orders/Get.x"), "Orders/Get.x");
  EXPECT_EQ(WithoutPackage("unknown"), "unknown");
  EXPECT_EQ(WithoutPackage("/"), "");
  EXPECT_EQ(WithoutPackage(""), "");
}

TEST(TextTest, TheFirstFormThatFitsIsTaken) {
  EXPECT_EQ(FirstThatFits({"GetStock at a:1", "a:1"}, 15), "GetStock at a:1");
  EXPECT_EQ(FirstThatFits({"GetStock at a:1", "a:1"}, 14), "a:1");
  EXPECT_EQ(FirstThatFits({"GetStock at a:10000", "a.b:10000"}, 8), "a...0000");
}

TEST(TextTest, ATargetHasAnAddress) {
  EXPECT_EQ(AddressOf("orders:443"), "orders:443");
  EXPECT_EQ(AddressOf("dns:///orders:443"), "orders:443");
  EXPECT_EQ(AddressOf("dns://8.8.8.8/orders:443"), "orders:443");
  EXPECT_EQ(AddressOf("dns:orders:443"), "orders:443");
  EXPECT_EQ(AddressOf("unix:/run/orders"), "unix:/run/orders");
  EXPECT_EQ(AddressOf("xds://"), "");
  EXPECT_EQ(AddressOf(""), "");
}

TEST(TextTest, ColumnsHaveTheirWidth) {
  EXPECT_EQ(Left("ab", 4), "ab  ");
  EXPECT_EQ(Left("abcde", 4), "abcd");
  EXPECT_EQ(Right("ab", 4), "  ab");
  EXPECT_EQ(Right("abcde", 4), "abcd");
  EXPECT_EQ(Left("ab", -1), "");
  EXPECT_EQ(Right("ab", -1), "");
}

TEST(TextTest, ReasonsFitIntoTheirColumn) {
  EXPECT_EQ(ShortReason(v1::END_REASON_UNSPECIFIED), "");
  EXPECT_EQ(ShortReason(v1::END_REASON_CALLER_LEFT), "caller left");
  EXPECT_EQ(ShortReason(static_cast<v1::EndReason>(1000)), "ended");
  for (int reason = 0; reason < 20; ++reason) {
    EXPECT_LE(ShortReason(static_cast<v1::EndReason>(reason)).size(), 11u);
  }
}

TEST(TextTest, ThingsAreCounted) {
  EXPECT_EQ(Count(1, "request"), "1 request");
  EXPECT_EQ(Count(0, "request"), "0 requests");
  EXPECT_EQ(Count(2, "process"), "2 processes");
}

TEST(TextTest, WordsAreWrapped) {
  EXPECT_EQ(Wrap("one two  three", 2, 9), "  one two\n  three\n");
  EXPECT_EQ(Wrap("a longer-than-that b", 0, 6), "a\nlonger-than-that\nb\n");
  EXPECT_EQ(Wrap("", 2, 9), "  \n");
}

}  // namespace
}  // namespace tether::ctl
