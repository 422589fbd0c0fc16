// SPDX-License-Identifier: Apache-2.0
//
// Tests the rules of W3C Trace Context, 3.3 and 3.5, for `tracestate`.

#include "tether/propagation/trace_state.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr std::string_view kTraceParent =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// Returns "m1=…,m2=…": `n` members of `size` characters each.
std::string Members(int n, size_t size, int first = 1) {
  std::string text;
  for (int i = first; i < first + n; ++i) {
    if (!text.empty()) text += ',';
    std::string member = "m" + std::to_string(i) + "=";
    member.resize(size, 'x');
    text += member;
  }
  return text;
}

class TraceStateTest : public ::testing::Test {
 protected:
  // Returns the state that results from these headers, in order.
  std::string Extract(const std::vector<std::string>& headers) {
    MapCarrier carrier{{"traceparent", kTraceParent}};
    for (const std::string& s : headers) carrier.Add("tracestate", s);
    const Context ctx = propagator_.Extract(carrier, Background());
    if (TraceOf(ctx) == nullptr) return "no trace";
    // The same state is sent, if any.
    MapCarrier out;
    propagator_.Inject(ctx, out);
    EXPECT_TRUE(out.Get("traceparent").has_value());
    EXPECT_EQ(out.Get("tracestate").value_or(""), TraceOf(ctx)->trace_state);
    return TraceOf(ctx)->trace_state;
  }
  // Returns what is sent for a state that the application set.
  std::string Inject(std::string state) {
    TraceContext trace = NewTrace();
    trace.trace_state = std::move(state);
    MapCarrier out;
    propagator_.Inject(WithTrace(Background(), trace), out);
    EXPECT_TRUE(out.Get("traceparent").has_value());
    return std::string(out.Get("tracestate").value_or(""));
  }
  bool IsTaken(const std::string& header) {
    const int64_t before = propagator_.Dropped();
    const std::string taken = Extract({header});
    EXPECT_EQ(taken.empty(), propagator_.Dropped() > before) << header;
    return !taken.empty();
  }

  TraceContextPropagator propagator_;
};

TEST_F(TraceStateTest, FailureToParseItDoesNotAffectTraceParent) {
  EXPECT_EQ(Extract({"="}), "");
  EXPECT_EQ(propagator_.Dropped(), 1);
}

TEST_F(TraceStateTest, IsNotLookedAtWhereTraceParentFailed) {
  const MapCarrier carrier{{"traceparent", "garbage"}, {"tracestate", "="}};
  EXPECT_EQ(propagator_.Extract(carrier, Background()), Background());
  EXPECT_EQ(propagator_.Dropped(), 1);  // the traceparent
}

TEST_F(TraceStateTest, IsReadBesideATraceParentOfAHigherVersion) {
  MapCarrier carrier{{"tracestate", "a=1"}};
  carrier.Set("traceparent", "cc" + std::string(kTraceParent.substr(2)));
  EXPECT_EQ(TraceOf(propagator_.Extract(carrier, Background()))->trace_state,
            "a=1");
}

TEST_F(TraceStateTest, SeveralHeadersAreCombinedInOrder) {
  EXPECT_EQ(Extract({"b=2", "a=1", "c=3"}), "b=2,a=1,c=3");
  EXPECT_EQ(Extract({"b=2,d=4", "a=1"}), "b=2,d=4,a=1");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceStateTest, IsSentAsASingleHeader) {
  MapCarrier in{{"traceparent", kTraceParent}};
  in.Add("tracestate", "a=1");
  in.Add("tracestate", "b=2");
  MapCarrier out;
  propagator_.Inject(propagator_.Extract(in, Background()), out);
  EXPECT_EQ(out.Get("tracestate"), "a=1,b=2");
  EXPECT_EQ(out.Get("tracestate", 1), std::nullopt);
}

TEST_F(TraceStateTest, EmptyHeadersAndMembersAreAccepted) {
  EXPECT_EQ(Extract({""}), "");
  EXPECT_EQ(Extract({"", "a=1", "", "b=2", ""}), "a=1,b=2");
  EXPECT_EQ(Extract({"a=1,,b=2,"}), "a=1,b=2");
  EXPECT_EQ(Extract({",,"}), "");
  EXPECT_EQ(Extract({"a=1, ,\t,b=2"}), "a=1,b=2");
  EXPECT_EQ(Extract({" ", "\t"}), "");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceStateTest, BlanksAroundMembersAreIgnored) {
  EXPECT_EQ(Extract({" a=1 ,\tb=2\t,  c=3"}), "a=1,b=2,c=3");
  EXPECT_EQ(Extract({"a=1 \t ", " \t b=2"}), "a=1,b=2");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceStateTest, LeadingSpacesBelongToTheValueAndTrailingOnesDoNot) {
  EXPECT_EQ(Extract({"a=  1 2  ,b=3"}), "a=  1 2,b=3");
  EXPECT_EQ(TraceStateMember("a=  1 2  ,b=3", "a"), "  1 2");
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceStateTest, NoBlanksAroundTheEqualsSignButInTheValue) {
  EXPECT_FALSE(IsTaken("a =1"));
  EXPECT_FALSE(IsTaken("a\t=1"));
  EXPECT_FALSE(IsTaken("a=\t1"));
  EXPECT_TRUE(IsTaken("a= 1"));
}

TEST_F(TraceStateTest, KeyBeginsWithALowerCaseLetterOrADigit) {
  for (int c = 0; c < 256; ++c) {
    const std::string header = std::string(1, static_cast<char>(c)) + "k=1";
    // Blanks before the key are not part of it, and ',' ends an empty member.
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == ' ' || c == '\t' || c == ',';
    EXPECT_EQ(IsTaken(header), good) << c;
  }
}

TEST_F(TraceStateTest, KeyHasLowerCaseLettersDigitsAndFiveOthers) {
  for (int c = 0; c < 256; ++c) {
    const std::string header =
        "k" + std::string(1, static_cast<char>(c)) + "k=1";
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
    EXPECT_EQ(IsTaken(header), good) << c;
  }
  EXPECT_TRUE(IsTaken("acme@tenant=1"));
  EXPECT_TRUE(IsTaken("0acme@1tenant=1"));  // level 2
  EXPECT_TRUE(IsTaken("a@b@c=1"));          // level 2
}

TEST_F(TraceStateTest, KeyHas1To256Characters) {
  EXPECT_FALSE(IsTaken("=1"));
  EXPECT_TRUE(IsTaken("k=1"));
  EXPECT_TRUE(IsTaken(std::string(256, 'k') + "=1"));
  EXPECT_FALSE(IsTaken(std::string(257, 'k') + "=1"));
}

TEST_F(TraceStateTest, ValueHasPrintableAsciiWithoutCommaAndEquals) {
  for (int c = 0; c < 256; ++c) {
    if (c == ',') continue;  // ends the member, and "b" is none
    const std::string header =
        "k=a" + std::string(1, static_cast<char>(c)) + "b";
    EXPECT_EQ(IsTaken(header), c >= 0x20 && c < 0x7f && c != '=') << c;
  }
  EXPECT_FALSE(IsTaken("k=a,b"));
}

TEST_F(TraceStateTest, ValueHas1To256Characters) {
  EXPECT_FALSE(IsTaken("k="));
  EXPECT_FALSE(IsTaken("k=  "));
  EXPECT_FALSE(IsTaken("k"));
  EXPECT_TRUE(IsTaken("k=" + std::string(256, 'v')));
  EXPECT_TRUE(IsTaken("k=" + std::string(256, 'v') + "  "));
  EXPECT_FALSE(IsTaken("k=" + std::string(257, 'v')));
}

TEST_F(TraceStateTest, OneIllegalMemberVoidsAll) {
  EXPECT_EQ(Extract({"a=1,B=2,c=3"}), "");
  EXPECT_EQ(Extract({"a=1", "c"}), "");
  EXPECT_EQ(propagator_.Dropped(), 2);
}

TEST_F(TraceStateTest, HasAtMost32Members) {
  EXPECT_EQ(Extract({Members(32, 6)}), Members(32, 6));
  EXPECT_EQ(Extract({Members(20, 6), Members(12, 6, 21)}), Members(32, 6));
  EXPECT_EQ(Extract(std::vector<std::string>(32, "")), "");
  EXPECT_EQ(propagator_.Dropped(), 0);
  EXPECT_EQ(Extract({Members(33, 6)}), "");
  EXPECT_EQ(Extract({Members(20, 6), Members(13, 6, 21)}), "");
  EXPECT_EQ(Extract(std::vector<std::string>(33, "")), "");
  EXPECT_EQ(Extract(std::vector<std::string>(5000, "")), "");
  EXPECT_EQ(propagator_.Dropped(), 4);
}

TEST_F(TraceStateTest, OnlyOneEntryPerKeyTheMostRecent) {
  EXPECT_EQ(Extract({"congo=2,rojo=1,congo=1"}), "congo=2,rojo=1");
  EXPECT_EQ(Extract({"congo=2", "congo=1"}), "congo=2");
  EXPECT_EQ(propagator_.Dropped(), 2);
  EXPECT_EQ(Extract({"a=1,aa=2"}), "a=1,aa=2");  // not the same
  EXPECT_EQ(propagator_.Dropped(), 2);
}

TEST_F(TraceStateTest, AtLeast512CharactersAreSentWithCommas) {
  const std::string longest = Members(5, 100) + ",z=34567";
  ASSERT_EQ(longest.size(), 512u);
  EXPECT_EQ(Extract({longest}), longest);
  EXPECT_EQ(Extract({"  " + longest + ",,"}), longest);
  EXPECT_EQ(propagator_.Dropped(), 0);
}

TEST_F(TraceStateTest, TruncationRemovesWholeMembersFromTheEnd) {
  const std::string longest = Members(5, 100) + ",z=34567";
  EXPECT_EQ(Extract({longest + "8"}), Members(5, 100));
  EXPECT_EQ(propagator_.Dropped(), 1);
  EXPECT_EQ(Extract({Members(6, 100)}), Members(5, 100));
  EXPECT_EQ(propagator_.Dropped(), 2);
  EXPECT_EQ(Extract({Members(32, 100)}), Members(5, 100));
  EXPECT_EQ(propagator_.Dropped(), 29);
}

TEST_F(TraceStateTest, TruncationRemovesMembersLongerThan128CharactersFirst) {
  const std::string of_128 = "e128=" + std::string(123, 'x');
  const std::string of_129 = "e129=" + std::string(124, 'x');
  EXPECT_EQ(Extract({of_129 + "," + Members(4, 100)}), Members(4, 100));
  EXPECT_EQ(propagator_.Dropped(), 1);
  EXPECT_EQ(Extract({of_128 + "," + Members(4, 100)}),
            of_128 + "," + Members(3, 100));
  EXPECT_EQ(propagator_.Dropped(), 2);
  // The last long member is removed first, and no more than necessary.
  EXPECT_EQ(Extract({of_129 + ",a=1," + std::string("f129=") +
                     std::string(124, 'y') + "," + Members(3, 100)}),
            of_129 + ",a=1," + Members(3, 100));
  EXPECT_EQ(propagator_.Dropped(), 3);
  // Short members are removed when no long ones are left.
  EXPECT_EQ(Extract({of_129 + "," + Members(6, 100)}), Members(5, 100));
  EXPECT_EQ(propagator_.Dropped(), 5);
}

TEST_F(TraceStateTest, LimitIsAnOption) {
  TraceContextOptions options;
  options.max_trace_state_bytes = 7;
  const TraceContextPropagator propagator(options);
  MapCarrier carrier{{"traceparent", kTraceParent}, {"tracestate", "a=1,b=2"}};
  Context ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1,b=2");
  carrier.Set("tracestate", "a=1,b=23");
  ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "a=1");
  carrier.Set("tracestate", "a=123456");
  ctx = propagator.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(ctx)->trace_state, "");
  EXPECT_EQ(propagator.Dropped(), 2);

  // The limit also applies to a state that another propagator extracted.
  MapCarrier out;
  propagator.Inject(
      propagator_.Extract(
          MapCarrier{{"traceparent", kTraceParent}, {"tracestate", "a=1,b=23"}},
          Background()),
      out);
  EXPECT_EQ(out.Get("tracestate"), "a=1");
  EXPECT_EQ(propagator.Dropped(), 3);
}

TEST_F(TraceStateTest, LimitMayBeInfinite) {
  TraceContextOptions options;
  options.max_trace_state_bytes = SIZE_MAX;
  const TraceContextPropagator propagator(options);
  const std::string longest = Members(32, 500);
  EXPECT_FALSE(IsTaken(longest));  // values have 256 characters at most
  const std::string state = Members(32, 250);
  const Context ctx = propagator.Extract(
      MapCarrier{{"traceparent", kTraceParent}, {"tracestate", state}},
      Background());
  EXPECT_EQ(TraceOf(ctx)->trace_state, state);
  EXPECT_EQ(propagator.MaxInjectBytes(ctx), SIZE_MAX);
}

TEST_F(TraceStateTest, LimitOfNoneSendsNone) {
  TraceContextOptions options;
  options.max_trace_state_bytes = 0;
  const TraceContextPropagator propagator(options);
  MapCarrier out;
  propagator.Inject(
      propagator_.Extract(
          MapCarrier{{"traceparent", kTraceParent}, {"tracestate", "a=1"}},
          Background()),
      out);
  EXPECT_EQ(out.Get("tracestate"), std::nullopt);
  EXPECT_TRUE(out.Get("traceparent").has_value());
}

TEST_F(TraceStateTest, HostileHeadersAreDropped) {
  int64_t dropped = 0;
  for (const std::string& bad :
       {std::string("a=\0", 3), std::string("a=1\n"), std::string("a=\xc3\xa9"),
        std::string("a=\x7f"), std::string(1 << 20, 'x'),
        std::string(1 << 20, '='), "a=" + std::string(1 << 20, 'x'),
        "a=1," + std::string(1 << 20, ' ') + "="}) {
    EXPECT_EQ(Extract({bad}), "");
    EXPECT_EQ(propagator_.Dropped(), ++dropped);
  }
  EXPECT_EQ(Extract({std::string(1 << 20, ',') + "a=1"}), "a=1");
}

TEST_F(TraceStateTest, OfTheApplicationItselfIsHeldToTheSameRules) {
  EXPECT_EQ(Inject("a=1,b=2"), "a=1,b=2");
  EXPECT_EQ(Inject(" a=1, b=2 "), "a=1,b=2");
  EXPECT_EQ(propagator_.Dropped(), 0);
  EXPECT_EQ(Inject("a=1,b=2,a=3"), "a=1,b=2");
  EXPECT_EQ(propagator_.Dropped(), 1);
  EXPECT_EQ(Inject("a=1\r\nx-evil: 1"), "");
  EXPECT_EQ(propagator_.Dropped(), 2);
  EXPECT_EQ(Inject(Members(6, 100)), Members(5, 100));
  EXPECT_EQ(propagator_.Dropped(), 3);
}

TEST_F(TraceStateTest, UnmodifiedMembersKeepTheirOrderOverManyHops) {
  const std::string state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a=1";
  MapCarrier carrier{{"traceparent", kTraceParent}, {"tracestate", state}};
  for (int hop = 0; hop < 10; ++hop) {
    const Context ctx = propagator_.Extract(carrier, Background());
    carrier = MapCarrier();
    propagator_.Inject(ctx, carrier);
  }
  EXPECT_EQ(carrier.Get("tracestate"), state);
}

TEST(TraceStateMemberTest, FindsTheValueOfAKey) {
  EXPECT_EQ(TraceStateMember("rojo=1,congo=2", "rojo"), "1");
  EXPECT_EQ(TraceStateMember("rojo=1, congo=2", "congo"), "2");
  EXPECT_EQ(TraceStateMember("rojo=1,congo=2", "con"), std::nullopt);
  EXPECT_EQ(TraceStateMember("rojo=1,congo=2", ""), std::nullopt);
  EXPECT_EQ(TraceStateMember("", "rojo"), std::nullopt);
  EXPECT_EQ(TraceStateMember("rojo=1,BAD=2", "rojo"), std::nullopt);
}

TEST(PutTraceStateMemberTest, ANewMemberIsAddedToTheBeginning) {
  EXPECT_EQ(PutTraceStateMember("", "congo", "1"), "congo=1");
  EXPECT_EQ(PutTraceStateMember("rojo=1", "congo", "2"), "congo=2,rojo=1");
}

TEST(PutTraceStateMemberTest, AModifiedMemberIsMovedToTheBeginning) {
  EXPECT_EQ(PutTraceStateMember("a=1,congo=1,b=2", "congo", "2"),
            "congo=2,a=1,b=2");
  EXPECT_EQ(PutTraceStateMember("congo=1,a=1", "congo", "2"), "congo=2,a=1");
}

TEST(PutTraceStateMemberTest, KeepsThe32MostRecentMembers) {
  EXPECT_EQ(PutTraceStateMember(Members(32, 6), "new", "1"),
            "new=1," + Members(31, 6));
  EXPECT_EQ(PutTraceStateMember(Members(32, 6), "m32", "1"),
            "m32=1," + Members(31, 6));
}

TEST(PutTraceStateMemberTest, TruncatesTheOthers) {
  EXPECT_EQ(PutTraceStateMember(Members(5, 100), "new", "12345678"),
            "new=12345678," + Members(4, 100));
  EXPECT_EQ(PutTraceStateMember(Members(5, 100), "n", "12345"),
            "n=12345," + Members(5, 100));
  EXPECT_EQ(PutTraceStateMember("a=1,b=2", "new", "1", 9), "new=1,a=1");
  EXPECT_EQ(PutTraceStateMember("a=1,b=2", "new", "1", 5), "new=1");
  EXPECT_EQ(PutTraceStateMember("a=1,b=2", "new", "1", 4), std::nullopt);
}

TEST(PutTraceStateMemberTest, TakesNoIllegalMember) {
  EXPECT_EQ(PutTraceStateMember("a=1", "Congo", "1"), std::nullopt);
  EXPECT_EQ(PutTraceStateMember("a=1", "", "1"), std::nullopt);
  EXPECT_EQ(PutTraceStateMember("a=1", "congo", ""), std::nullopt);
  EXPECT_EQ(PutTraceStateMember("a=1", "congo", "1 "), std::nullopt);
  EXPECT_EQ(PutTraceStateMember("a=1", "congo", "1,2"), std::nullopt);
}

TEST(PutTraceStateMemberTest, ReplacesAStateThatIsIllegal) {
  EXPECT_EQ(PutTraceStateMember("a=1,B", "congo", "1"), "congo=1");
}

TEST(RemoveTraceStateMemberTest, KeepsTheOthersInOrder) {
  EXPECT_EQ(RemoveTraceStateMember("a=1,congo=1,b=2", "congo"), "a=1,b=2");
  EXPECT_EQ(RemoveTraceStateMember("congo=1", "congo"), "");
  EXPECT_EQ(RemoveTraceStateMember("a=1", "congo"), "a=1");
  EXPECT_EQ(RemoveTraceStateMember("a=1,B", "congo"), "");
}

}  // namespace
}  // namespace tether
