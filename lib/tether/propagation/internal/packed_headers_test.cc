// SPDX-License-Identifier: Apache-2.0
//
// Several headers in one: what goes in comes out, and whatever else arrives is
// rejected whole.

#include "tether/propagation/internal/packed_headers.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tether/propagation/carrier.h"

namespace tether::internal {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

// What a receiver gets; "malformed" if it rejects the header.
Headers Unpack(std::string_view header) {
  Headers headers;
  const bool good = ForEachPacked(
      header, [&headers](std::string_view name, std::string_view value) {
        headers.emplace_back(name, value);
      });
  if (good) return headers;
  EXPECT_TRUE(headers.empty()) << "a part of a malformed header was used";
  return {{"malformed", ""}};
}

bool IsMalformed(std::string_view header) {
  return Unpack(header) == Headers{{"malformed", ""}};
}

TEST(PackedHeadersTest, WhatGoesInComesOut) {
  MapCarrier inner;
  PackedHeaders packed(inner);
  EXPECT_TRUE(packed.empty());
  packed.Set("tether-timeout", "1500000");
  packed.Set("traceparent",
             "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  packed.Set("x-request-id", "b7c1-42");
  packed.Set("x-tenant", "acme");
  EXPECT_FALSE(packed.empty());
  EXPECT_EQ(packed.text(),
            "1;t=7:1500000;p=55:00-4bf92f3577b34da6a3ce929d0e0e4736-"
            "00f067aa0ba902b7-01;i=7:b7c1-42;x-tenant=4:acme");
  EXPECT_EQ(
      Unpack(packed.text()),
      (Headers{{"tether-timeout", "1500000"},
               {"traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
               {"x-request-id", "b7c1-42"},
               {"x-tenant", "acme"}}));
  EXPECT_TRUE(inner.map().empty());
}

TEST(PackedHeadersTest, AValueMayLookLikeFields) {
  for (const std::string value :
       {";t=1:0", "1;t=1:0", ";", "=", ":", "", ";b=3:a=b", "a;p=1;q=2,c=d"}) {
    MapCarrier inner;
    PackedHeaders packed(inner);
    packed.Set("baggage", value);
    packed.Set("x-request-id", "last");
    EXPECT_EQ(Unpack(packed.text()),
              (Headers{{"baggage", value}, {"x-request-id", "last"}}));
  }
}

// As any carrier allows.
TEST(PackedHeadersTest, AValueMayBeAViewOfWhatIsPacked) {
  for (const size_t size : {10, 140, 150, 160, 2000}) {
    const std::string text(size, 'x');
    MapCarrier inner;
    PackedHeaders packed(inner);
    packed.Set("x-request-id", text);
    packed.Set("baggage", "abcdef");
    packed.Set("x-correlation-id", *packed.Get("x-request-id"));
    packed.Set("baggage", packed.Get("baggage")->substr(2));
    packed.Set("x-request-id", *packed.Get("baggage"));
    EXPECT_EQ(Unpack(packed.text()), (Headers{{"x-correlation-id", text},
                                              {"baggage", "cdef"},
                                              {"x-request-id", "cdef"}}));
    EXPECT_TRUE(packed.Add("x-correlation-id", *packed.Get("baggage")));
    EXPECT_EQ(Unpack(packed.text()),
              (Headers{{"baggage", "cdef"}, {"x-request-id", "cdef"}}));
    EXPECT_EQ(inner.Get("x-correlation-id", 0), text);
    EXPECT_EQ(inner.Get("x-correlation-id", 1), "cdef");
  }
}

// Whatever follows a field moves when the field goes.
TEST(PackedHeadersTest, AViewMayBeOfWhatFollowsAFieldThatGoes) {
  const std::string alphabet = "abcdefghijklmnopqrstuvwxyz";
  MapCarrier inner;
  PackedHeaders packed(inner);
  packed.Set("x-first", "1");
  packed.Set("x-second", alphabet);
  EXPECT_TRUE(packed.Add("x-first", *packed.Get("x-second")));
  EXPECT_EQ(inner.Get("x-first", 0), "1");
  EXPECT_EQ(inner.Get("x-first", 1), alphabet);
}

TEST(PackedHeadersTest, AKeyMayBeAViewOfWhatIsPacked) {
  MapCarrier inner;
  PackedHeaders packed(inner);
  packed.Set("x-first", "1");
  packed.Set("x-second", "2");
  std::string_view key;
  packed.ForEachKey([&](std::string_view found) {
    if (key.empty()) key = found;
  });
  ASSERT_EQ(key, "x-first");
  // Too long to be packed: the field goes, and the header is set in `inner`.
  const std::string value(10'000, 'a');
  packed.Set(key, value);
  EXPECT_EQ(inner.Get("x-first"), value);
  EXPECT_EQ(Unpack(packed.text()), (Headers{{"x-second", "2"}}));
}

TEST(PackedHeadersTest, WhatCannotBePackedIsAHeaderOfItsOwn) {
  MapCarrier inner;
  PackedHeaders packed(inner);
  const Headers headers = {{"x-session-bin", std::string("\0\xff", 2)},
                           {"t", "a name that is an alias of another"},
                           {std::string(65, 'n'), "a long name"},
                           {"x-end", "a space at the end "},
                           {"x-long", std::string(10'000, 'v')}};
  for (const auto& header : headers) packed.Set(header.first, header.second);
  EXPECT_TRUE(packed.empty());
  for (const auto& header : headers) {
    EXPECT_EQ(inner.Get(header.first), header.second);
    EXPECT_EQ(packed.Get(header.first), header.second);
  }
}

TEST(PackedHeadersTest, TheLastValueThatIsSetIsSent) {
  MapCarrier inner;
  PackedHeaders packed(inner);
  packed.Set("x-a", "first");
  packed.Set("x-b", "other");
  packed.Set("x-a", "second");
  EXPECT_EQ(Unpack(packed.text()),
            (Headers{{"x-b", "other"}, {"x-a", "second"}}));
  EXPECT_EQ(packed.Get("x-a"), "second");
  EXPECT_EQ(packed.Get("x-a", 1), std::nullopt);
  EXPECT_EQ(packed.Get("x-c"), std::nullopt);
  packed.Set("x-b", "ends with a space ");
  EXPECT_EQ(Unpack(packed.text()), (Headers{{"x-a", "second"}}));
  EXPECT_EQ(inner.Get("x-b"), "ends with a space ");
}

TEST(PackedHeadersTest, AHeaderThatTheApplicationHasSetStaysItsOwn) {
  MapCarrier inner{{"x-request-id", "the application's"}};
  PackedHeaders packed(inner);
  packed.Set("x-request-id", "tether's");
  EXPECT_TRUE(packed.empty());
  EXPECT_EQ(inner.map().size(), 1u);
}

TEST(PackedHeadersTest, RepeatedHeadersKeepTheirOrder) {
  MapCarrier inner;
  PackedHeaders packed(inner);
  EXPECT_TRUE(packed.Add("x-canary", "blue"));
  EXPECT_TRUE(packed.Add("x-canary", "green"));
  EXPECT_TRUE(packed.Add("x-canary", "red"));
  EXPECT_TRUE(packed.empty());
  EXPECT_EQ(inner.Get("x-canary", 0), "blue");
  EXPECT_EQ(inner.Get("x-canary", 1), "green");
  EXPECT_EQ(inner.Get("x-canary", 2), "red");
}

TEST(PackedHeadersTest, ManyHeadersAreSentOnTheirOwn) {
  MapCarrier inner;
  PackedHeaders packed(inner);
  for (int i = 0; i < 20; ++i) {
    packed.Set("x-" + std::to_string(i), std::to_string(i));
  }
  EXPECT_EQ(Unpack(packed.text()).size(), kMaxPackedFields);
  EXPECT_EQ(inner.map().size(), 20 - kMaxPackedFields);
  size_t keys = 0;
  packed.ForEachKey([&](std::string_view key) {
    ++keys;
    EXPECT_TRUE(packed.Get(key).has_value()) << key;
  });
  EXPECT_EQ(keys, 20u);
}

TEST(PackedHeadersTest, AMalformedHeaderIsRejectedWhole) {
  EXPECT_EQ(Unpack("1"), Headers());
  EXPECT_EQ(Unpack("1;t=1:0"), (Headers{{"tether-timeout", "0"}}));
  EXPECT_EQ(Unpack("1;i=0:"), (Headers{{"x-request-id", ""}}));
  for (const std::string_view bad : {"",
                                     "2",
                                     "2;t=1:0",
                                     " 1",
                                     "1 ",
                                     "1;",
                                     "1t=1:0",
                                     "1;t",
                                     "1;t=",
                                     "1;t=:",
                                     "1;t=:0",
                                     "1;t=1",
                                     "1;t=1:",
                                     "1;t=2:0",
                                     "1;t=01:0",
                                     "1;t=+1:0",
                                     "1;t=-1:0",
                                     "1;t= 1:0",
                                     "1;t=1 :0",
                                     "1;t=0x1:0",
                                     "1;t=1:00",
                                     "1;t=1:0;",
                                     "1;t=1:0,r=1:0",
                                     "1;t=99999:0",
                                     "1;t=18446744073709551617:0",
                                     "1;z=1:0",
                                     "1;T=1:0",
                                     "1;=1:0",
                                     "1;X-Tenant=1:0",
                                     "1;x tenant=1:0",
                                     "1;x-session-bin=1:0",
                                     "1;t=1:0;r=5:0"}) {
    EXPECT_TRUE(IsMalformed(bad)) << bad;
  }
  EXPECT_TRUE(IsMalformed(std::string("1;t\0=1:0", 8)));
  EXPECT_TRUE(IsMalformed("1;" + std::string(65, 'n') + "=1:0"));
  EXPECT_FALSE(IsMalformed("1;" + std::string(64, 'n') + "=1:0"));
}

TEST(PackedHeadersTest, TheNumberOfFieldsIsLimited) {
  std::string header = "1";
  for (size_t i = 0; i < kMaxPackedFields; ++i) header += ";i=1:a";
  EXPECT_EQ(Unpack(header).size(), kMaxPackedFields);
  EXPECT_TRUE(IsMalformed(header + ";i=1:a"));
}

}  // namespace
}  // namespace tether::internal
