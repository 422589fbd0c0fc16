// SPDX-License-Identifier: Apache-2.0
//
// Relayed headers pass a hop untouched, and no other headers pass it.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "integration_tests/middle_hop.h"
#include "tether/context.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/header.h"

namespace tether {
namespace {

inline constexpr Key<int64_t> kNumber{"number"};

std::shared_ptr<const Propagator> NumberPropagator() {
  return std::make_shared<HeaderPropagator<int64_t>>(kNumber, "x-number",
                                                     IntCodec());
}

class HeaderRelayTest : public MiddleHopTest {};

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  return bytes;
}

// The leaf receives the same bytes with the hop as without it.
TEST_F(HeaderRelayTest, AListedHeaderPassesUntouched) {
  StartMiddle(Relaying({"x-canary", "x-session-bin"}));
  std::string printable;
  for (char c = 0x20; c < 0x7f; ++c) printable += c;
  const std::vector<Headers> all = {
      {{"x-canary", "blue"}},
      {{"x-canary", ""}},
      {{"x-canary", printable}},
      {{"x-canary", "x,y;z=%zz \"quoted\\"}},
      {{"x-canary", std::string(1024, 'x')}},
      // Repeated headers, in their order, some of them equal.
      {{"x-canary", "b"}, {"x-canary", "a"}, {"x-canary", "b"}},
      {{"x-canary", "1"},
       {"x-session-bin", "2"},
       {"x-canary", "3"},
       {"x-session-bin", "4"}},
      // Any bytes.
      {{"x-session-bin", AllBytes()}},
      {{"x-session-bin", ""}},
      {{"x-session-bin", std::string("\0\0\0", 3)},
       {"x-session-bin", "a,b"},
       {"x-session-bin", "\xff\xfe"},
       {"x-session-bin", AllBytes() + AllBytes()}},
  };
  for (const Headers& headers : all) {
    Straight(headers);
    const Values canary = Got("x-canary");
    const Values session = Got("x-session-bin");
    ASSERT_EQ(canary.size() + session.size(), headers.size());
    Through(headers);
    EXPECT_EQ(Got("x-canary"), canary);
    EXPECT_EQ(Got("x-session-bin"), session);
  }
}

TEST_F(HeaderRelayTest, ControlAHeaderThatIsNotListedStays) {
  StartMiddle(Relaying({"x-canary"}));
  Through({{"x-canary", "blue"}, {"x-other", "1"}, {"x-other-bin", "2"}});
  EXPECT_EQ(Got("x-canary"), Values{"blue"});
  EXPECT_EQ(Got("x-other"), Values());
  EXPECT_EQ(Got("x-other-bin"), Values());
}

TEST_F(HeaderRelayTest, TheMiddlesOwnHeaderIsNotReplaced) {
  StartMiddle(Relaying({"x-canary"}));
  own = {{"x-canary", "own"}};
  Through({{"x-canary", "blue"}, {"x-canary", "green"}});
  EXPECT_EQ(Got("x-canary"), Values{"own"});
}

// The relay follows a propagator of the same header: it forwards the values
// that the propagator can't read, and leaves the others to it.
TEST_F(HeaderRelayTest, WhatNoCodecReadsPassesUntouched) {
  const auto number = NumberPropagator();
  StartMiddle(std::make_shared<CompositePropagator>(
      Parts{number, Relaying({"x-number"})}));
  bool has_number = true;
  change = [&has_number](const Context& ctx) {
    const int64_t* value = ctx.Value(kNumber);
    has_number = value != nullptr;
    return has_number ? WithValue(ctx, kNumber, *value + 1) : ctx;
  };
  Through({{"x-number", "twelve"}});
  EXPECT_FALSE(has_number);
  EXPECT_EQ(number->Dropped(), 1);
  EXPECT_EQ(Got("x-number"), Values{"twelve"});

  Through({{"x-number", "12"}, {"x-number", "13"}});
  EXPECT_FALSE(has_number) << "which one?";
  EXPECT_EQ(number->Dropped(), 2);
  EXPECT_EQ(Got("x-number"), (Values{"12", "13"}));

  Through({{"x-number", "12"}});
  EXPECT_TRUE(has_number);
  EXPECT_EQ(number->Dropped(), 2);
  EXPECT_EQ(Got("x-number"), Values{"13"});
}

}  // namespace
}  // namespace tether
