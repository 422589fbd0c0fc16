// SPDX-License-Identifier: Apache-2.0
//
// The id in the text of `baggage` and `tracestate`: put first, taken out, and
// every other member kept byte by byte.

#include "sidecar/hop_headers.h"

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "sidecar/hop_id.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/trace_state.h"

namespace tether::sidecar {
namespace {

constexpr char kId[] = "0123456789abcdef0123456789abcdef";
constexpr char kOtherId[] = "fedcba98765432100123456789abcdef";

HopId Id() { return *HopId::Parse(kId); }
HopId OtherId() { return *HopId::Parse(kOtherId); }

// In headers of these tests, $ is the id and & the other one.
std::string Text(std::string_view text) {
  return absl::StrReplaceAll(absl::string_view(text.data(), text.size()),
                             {{"$", kId}, {"&", kOtherId}});
}

std::vector<HopId> None() { return {}; }
std::vector<HopId> One() { return {Id()}; }

struct Example {
  const char* header;
  const char* rest;
  std::vector<HopId> ids;
};

// ---- Taking -----------------------------------------------------------------

// The same in both headers.
const std::vector<Example>& Examples() {
  static const auto& examples = *new std::vector<Example>{
      {"tether-hop=$", "", One()},
      {"tether-hop=$,a=1", "a=1", One()},
      {"a=1,tether-hop=$", "a=1", One()},
      {"a=1,tether-hop=$,b=2", "a=1,b=2", One()},
      // Blanks around the member, its name and its value.
      {"a=1 ,\ttether-hop \t= \t$ \t, b=2", "a=1 , b=2", One()},
      {" tether-hop=$ ", "", One()},
      // Everything else stays as it is.
      {"a=%20x;p=1;q , tether-hop=$,, =,b", "a=%20x;p=1;q ,, =,b", One()},
      {"tether-hop=$,a=1,a=1,A=%41", "a=1,a=1,A=%41", One()},
      {"tether-hop=$, ", " ", One()},
      {"tether-hop=$,,", ",", One()},
      {",tether-hop=$,", ",", One()},
      {"a=\"x,tether-hop=$,y\"", "a=\"x,y\"", One()},
      // Several: merged headers.
      {"tether-hop=$,a=1,tether-hop=&", "a=1", {Id(), OtherId()}},
      {"tether-hop=&,tether-hop=$", "", {OtherId(), Id()}},
      {"tether-hop=$,tether-hop=$", "", {Id(), Id()}},
      // Members of this name that are no ids are dropped.
      {"tether-hop=,a=1", "a=1", None()},
      {"tether-hop,a=1", "a=1", None()},
      {"tether-hop=xyz,a=1", "a=1", None()},
      {"tether-hop==$,a=1", "a=1", None()},
      {"tether-hop=$=,a=1", "a=1", None()},
      {"tether-hop=0123456789abcdef0123456789abcde,a=1", "a=1", None()},
      {"tether-hop=0$,a=1", "a=1", None()},
      {"tether-hop=0123456789ABCDEF0123456789ABCDEF,a=1", "a=1", None()},
      {"tether-hop=%30123456789abcdef0123456789abcdef,a=1", "a=1", None()},
      {"tether-hop=$ $,a=1", "a=1", None()},
      {"tether-hop=x,tether-hop=$,a=1", "a=1", One()},
  };
  return examples;
}

// Other names: nothing is taken.
constexpr const char* kUntouched[] = {
    "",
    ",",
    " ,\t,",
    "a=1,b=2;p",
    "Tether-Hop=$",
    "TETHER-HOP=$",
    "tether-hop2=$",
    "xtether-hop=$",
    "tether-ho=$",
    "tether hop=$",
    "a=tether-hop=$",
    "a=tether-hop",
    "=tether-hop",
    "=",
    "\"tether-hop\"=$",
    "%74ether-hop=$",
    "tether-hop\x0b=$",
    "\xc2\xa0tether-hop=$",
};

TEST(HopHeadersTest, TakesMembersOfTheNameAndNothingElse) {
  for (const Example& example : Examples()) {
    const std::string header = Text(example.header);
    for (const TakenHops& taken :
         {TakeHopsFromBaggage(header), TakeHopsFromTraceState(header)}) {
      EXPECT_EQ(taken.rest, Text(example.rest)) << header;
      EXPECT_EQ(taken.ids, example.ids) << header;
      EXPECT_TRUE(taken.changed) << header;
    }
  }
}

TEST(HopHeadersTest, OtherNamesStay) {
  for (const char* text : kUntouched) {
    const std::string header = Text(text);
    for (const TakenHops& taken :
         {TakeHopsFromBaggage(header), TakeHopsFromTraceState(header)}) {
      EXPECT_EQ(taken.rest, header);
      EXPECT_EQ(taken.ids, None()) << header;
      EXPECT_FALSE(taken.changed) << header;
    }
  }
}

TEST(HopHeadersTest, OnlyBaggageHasProperties) {
  const struct {
    const char* header;
    const char* baggage_rest;
    std::vector<HopId> baggage_ids;
    const char* tracestate_rest;
  } kCases[] = {
      {"tether-hop=$;p=1,a=1", "a=1", One(), "a=1"},
      {"tether-hop=$ ; p,a=1", "a=1", One(), "a=1"},
      {"tether-hop=$;,a=1", "a=1", One(), "a=1"},
      {"tether-hop;p=$,a=1", "a=1", None(), "tether-hop;p=$,a=1"},
      {"tether-hop;=$,a=1", "a=1", None(), "tether-hop;=$,a=1"},
      {"a=1;tether-hop=$", "a=1;tether-hop=$", None(), "a=1;tether-hop=$"},
  };
  for (const auto& test : kCases) {
    const std::string header = Text(test.header);
    const TakenHops baggage = TakeHopsFromBaggage(header);
    EXPECT_EQ(baggage.rest, Text(test.baggage_rest)) << header;
    EXPECT_EQ(baggage.ids, test.baggage_ids) << header;
    const TakenHops tracestate = TakeHopsFromTraceState(header);
    EXPECT_EQ(tracestate.rest, Text(test.tracestate_rest)) << header;
    EXPECT_EQ(tracestate.ids, None()) << header;
  }
}

// ---- Putting ----------------------------------------------------------------

TEST(HopHeadersTest, TheIdComesFirst) {
  const std::string member = absl::StrCat("tether-hop=", kId);
  const auto put = {PutHopInBaggage, PutHopInTraceState};
  for (const auto& function : put) {
    EXPECT_EQ(function("", Id()), member);
    EXPECT_EQ(function("a=1", Id()), member + ",a=1");
    EXPECT_EQ(function(" a=%20 ;p , ,b", Id()), member + ", a=%20 ;p , ,b");
    EXPECT_EQ(function(" ", Id()), member + ", ");
    EXPECT_EQ(function(",", Id()), member + ",,");
    // What comes in under this name is dropped.
    EXPECT_EQ(function(Text("tether-hop=&"), Id()), member);
    EXPECT_EQ(function(Text("a=1, tether-hop=&,b=2,tether-hop"), Id()),
              member + ",a=1,b=2");
    EXPECT_EQ(function(Text("Tether-Hop=&"), Id()),
              Text("tether-hop=$,Tether-Hop=&"));
  }
}

TEST(HopHeadersTest, WhatWasPutIsTaken) {
  for (const char* text : kUntouched) {
    const std::string header = Text(text);
    const TakenHops baggage =
        TakeHopsFromBaggage(PutHopInBaggage(header, Id()));
    EXPECT_EQ(baggage.rest, header);
    EXPECT_EQ(baggage.ids, One());
    const TakenHops tracestate =
        TakeHopsFromTraceState(PutHopInTraceState(header, Id()));
    EXPECT_EQ(tracestate.rest, header);
    EXPECT_EQ(tracestate.ids, One());
  }
}

TEST(HopHeadersTest, TethersOwnParsersReadTheResult) {
  const std::string baggage = PutHopInBaggage("a=1;p,b=%20", Id());
  int64_t dropped = 0;
  const Baggage read = Baggage::Parse(baggage, {}, &dropped);
  EXPECT_EQ(read.size(), 3u);
  EXPECT_EQ(dropped, 0);
  EXPECT_EQ(read[0].key(), kHopKey);
  EXPECT_EQ(read[0].value(), kId);
  const std::string tracestate = PutHopInTraceState("a=1,b=2", Id());
  EXPECT_EQ(TraceStateMember(tracestate, kHopKey), kId);
  EXPECT_EQ(TraceStateMember(tracestate, "b"), "2");
}

std::string Members(int first, int last) {
  std::string text;
  for (int i = first; i <= last; ++i) {
    absl::StrAppend(&text, text.empty() ? "" : ",", "k", i, "=v");
  }
  return text;
}

TEST(HopHeadersTest, ATraceStateHasAtMost32Members) {
  const std::string member = absl::StrCat("tether-hop=", kId, ",");
  EXPECT_EQ(PutHopInTraceState(Members(1, 31), Id()), member + Members(1, 31));
  EXPECT_EQ(PutHopInTraceState(Members(1, 32), Id()), member + Members(1, 31));
  EXPECT_EQ(PutHopInTraceState(Members(1, 60), Id()), member + Members(1, 31));
  // One that is replaced doesn't count, and empty ones don't.
  EXPECT_EQ(PutHopInTraceState(absl::StrCat(Members(1, 10), ",tether-hop=x, ,,",
                                            Members(11, 31)),
                               Id()),
            absl::StrCat(member, Members(1, 10), ", ,,", Members(11, 31)));
  EXPECT_EQ(PutHopInBaggage(Members(1, 60), Id()), member + Members(1, 60))
      << "baggage has no such limit";
}

TEST(HopHeadersTest, ATraceStateHasAtMost512Bytes) {
  // 43 bytes of tether's own, a comma, and the rest.
  const std::string member = absl::StrCat("tether-hop=", kId, ",");
  const std::string fits =
      absl::StrCat("a=", std::string(120, 'x'), ",b=", std::string(120, 'x'),
                   ",c=", std::string(120, 'x'), ",d=", std::string(97, 'x'));
  ASSERT_EQ(fits.size() + member.size(), 512u);
  EXPECT_EQ(PutHopInTraceState(fits, Id()), member + fits);
  EXPECT_EQ(PutHopInTraceState(fits + "x", Id()),
            member + fits.substr(0, fits.rfind(',')));
  // Members longer than 128 characters go first, the last of them first.
  const std::string long_a = "a=" + std::string(127, 'x');
  const std::string long_b = "b=" + std::string(127, 'x');
  const std::string just_long = "c=" + std::string(126, 'x');
  const std::string end = "d=" + std::string(100, 'x');
  EXPECT_EQ(
      PutHopInTraceState(
          absl::StrCat(long_a, ",", just_long, ",", long_b, ",", end), Id()),
      absl::StrCat(member, long_a, ",", just_long, ",", end));
  EXPECT_EQ(
      PutHopInTraceState(absl::StrCat("a=", std::string(250, 'x'),
                                      ",b=1,c=", std::string(250, 'x'), ",d=1"),
                         Id()),
      absl::StrCat(member, "a=", std::string(250, 'x'), ",b=1,d=1"));
  EXPECT_EQ(PutHopInTraceState("a=" + std::string(1000, 'x'), Id()),
            absl::StrCat("tether-hop=", kId));
}

// ---- Hostile headers --------------------------------------------------------

// The CPU time of this thread, the best of three, in seconds.
template <typename F>
double Time(const F& function) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_nsec) * 1e-9;
  };
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const double start = now();
    function();
    best = std::min(best, now() - start);
  }
  return best;
}

TEST(HopHeadersTest, HugeHeadersTakeLinearTime) {
  for (const std::string_view part :
       {",", "t", "tether-ho", "tether-hop", "tether-hop,", "tether-hop=,", " ",
        " ,", "a,", "tether-hop=0123456789abcdef0123456789abcdef,", "=", ";",
        "\t=", "tether-hop;"}) {
    const auto time = [part](size_t size) {
      std::string header;
      while (header.size() < size) header += part;
      return Time([&header] {
        TakeHopsFromBaggage(header);
        TakeHopsFromTraceState(header);
        PutHopInBaggage(header, Id());
        PutHopInTraceState(header, Id());
      });
    };
    // Quadratic time would be 256 times as long, not 16.
    EXPECT_LT(time(1 << 18), 100 * time(1 << 14) + 0.02) << part;
  }
}

}  // namespace
}  // namespace tether::sidecar
