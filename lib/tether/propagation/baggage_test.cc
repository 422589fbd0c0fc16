// SPDX-License-Identifier: Apache-2.0
//
// Tests the rules of W3C Baggage, 3.3 to 3.5, in their order.

#include "tether/propagation/baggage.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"

namespace tether {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

Entries EntriesOf(const Baggage& baggage) {
  Entries entries;
  for (size_t i = 0; i < baggage.size(); ++i) {
    entries.emplace_back(baggage[i].key(), baggage[i].value());
  }
  return entries;
}

bool IsTaken(const std::string& header) {
  int64_t dropped = 0;
  const Baggage baggage = Baggage::Parse(header, {}, &dropped);
  EXPECT_EQ(baggage.size() + static_cast<size_t>(dropped), 1u) << header;
  return !baggage.empty();
}

std::optional<std::string> ValueOf(const std::string& encoded) {
  const Baggage baggage = Baggage::Parse("k=" + encoded);
  if (baggage.empty()) return std::nullopt;
  return std::string(*baggage.Get("k"));
}

// Returns "k1=…,k2=…": `n` entries of `size` bytes each.
std::string Members(int n, size_t size) {
  std::string text;
  for (int i = 1; i <= n; ++i) {
    if (!text.empty()) text += ',';
    std::string member = "k" + std::to_string(i) + "=";
    member.resize(size, 'x');
    text += member;
  }
  return text;
}

// ---- The header's content --------------------------------------------------

TEST(BaggageParseTest, ReadsTheExampleOfTheStandard) {
  int64_t dropped = 0;
  const Baggage baggage = Baggage::Parse(
      "key1=value1;property1;property2, key2 = value2, key3=value3; "
      "propertyKey=propertyValue",
      {}, &dropped);
  EXPECT_EQ(
      EntriesOf(baggage),
      (Entries{{"key1", "value1"}, {"key2", "value2"}, {"key3", "value3"}}));
  EXPECT_EQ(baggage[0].properties(),
            (std::vector<BaggageProperty>{{"property1", std::nullopt},
                                          {"property2", std::nullopt}}));
  EXPECT_TRUE(baggage[1].properties().empty());
  EXPECT_EQ(baggage[2].properties(),
            (std::vector<BaggageProperty>{{"propertyKey", "propertyValue"}}));
  EXPECT_EQ(dropped, 0);
}

TEST(BaggageParseTest, ReadsTheValuesOfTheStandardsExamples) {
  EXPECT_EQ(EntriesOf(Baggage::Parse(
                "userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false")),
            (Entries{{"userId", "Am\xc3\xa9lie"},
                     {"serverNode", "DF 28"},
                     {"isProduction", "false"}}));
  EXPECT_EQ(EntriesOf(Baggage::Parse("userId =   alice")),
            (Entries{{"userId", "alice"}}));
  EXPECT_EQ(
      EntriesOf(Baggage::Parse("serverNode = DF%2028, isProduction = false")),
      (Entries{{"serverNode", "DF 28"}, {"isProduction", "false"}}));
}

TEST(BaggageParseTest, KeyIsAToken) {
  for (int c = 0; c < 256; ++c) {
    // These end an entry and begin an invalid one.
    if (c == ',' || c == '=') continue;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool good =
        letter || (c >= '0' && c <= '9') ||
        (c != 0 &&
         std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) !=
             std::string_view::npos);
    const std::string header =
        "a" + std::string(1, static_cast<char>(c)) + "b=1";
    EXPECT_EQ(IsTaken(header), good) << c;
  }
  EXPECT_FALSE(IsTaken("=1"));
  EXPECT_FALSE(IsTaken(" =1"));
}

TEST(BaggageParseTest, KeyIsNotDecodedAndItsCaseMatters) {
  const Baggage baggage = Baggage::Parse("a%20b=1,K=2,k=3");
  EXPECT_EQ(EntriesOf(baggage),
            (Entries{{"a%20b", "1"}, {"K", "2"}, {"k", "3"}}));
  EXPECT_EQ(baggage.Get("K"), "2");
  EXPECT_EQ(baggage.Get("a b"), std::nullopt);
}

TEST(BaggageParseTest, ValueHasBaggageOctetsAlone) {
  for (int c = 0; c < 256; ++c) {
    // ',' and ';' end the value, and '%' needs two digits.
    if (c == ',' || c == ';' || c == '%') continue;
    const bool good = c > 0x20 && c < 0x7f && c != '"' && c != '\\';
    const std::string header =
        "k=a" + std::string(1, static_cast<char>(c)) + "b";
    EXPECT_EQ(IsTaken(header), good) << c;
  }
}

TEST(BaggageParseTest, ValueMayBeEmpty) {
  EXPECT_EQ(EntriesOf(Baggage::Parse("a=,b= ")),
            (Entries{{"a", ""}, {"b", ""}}));
}

TEST(BaggageParseTest, ValueMayContainEqualsSigns) {
  EXPECT_EQ(EntriesOf(Baggage::Parse("a==,b=1=2==,c=3;p=4=5")),
            (Entries{{"a", "="}, {"b", "1=2=="}, {"c", "3"}}));
}

TEST(BaggageParseTest, BlanksAroundKeyValueAndPropertyAreNotPartOfThem) {
  const Baggage baggage = Baggage::Parse(
      " \tkey \t = \t value \t ; \t p1 \t ; p2 \t = \t v2 \t , \t k=v \t ");
  EXPECT_EQ(EntriesOf(baggage), (Entries{{"key", "value"}, {"k", "v"}}));
  EXPECT_EQ(baggage[0].properties(),
            (std::vector<BaggageProperty>{{"p1", std::nullopt}, {"p2", "v2"}}));
  EXPECT_EQ(baggage.header(), "key=value;p1;p2=v2,k=v");
}

TEST(BaggageParseTest, BlanksWithinThemAreIllegal) {
  EXPECT_FALSE(IsTaken("a b=1"));
  EXPECT_FALSE(IsTaken("a=1 2"));
  EXPECT_FALSE(IsTaken("a=1;p q"));
  EXPECT_FALSE(IsTaken("a=1;p=q r"));
  EXPECT_FALSE(IsTaken("a\n=1"));
}

TEST(BaggageParseTest, EntryNeedsAnEqualsSign) {
  EXPECT_FALSE(IsTaken("a"));
  EXPECT_FALSE(IsTaken("a;p"));
  EXPECT_FALSE(IsTaken("a;p=1"));
}

TEST(BaggageParseTest, PropertyIsAKeyWithOrWithoutAValue) {
  const Baggage baggage = Baggage::Parse("a=1;p;q=;r=2;p;s=a%20b");
  EXPECT_EQ(baggage[0].properties(),
            (std::vector<BaggageProperty>{{"p", std::nullopt},
                                          {"q", ""},
                                          {"r", "2"},
                                          {"p", std::nullopt},
                                          {"s", "a b"}}));
}

TEST(BaggageParseTest, MalformedPropertyDropsItsEntryWhole) {
  for (const char* bad : {"a=1;", "a=1;;p", "a=1; ", "a=1;=2", "a=1;p\"",
                          "a=1;p=\"", "a=1;p=%", "a=1;\xc3\xa9", "a=1;p=\\"}) {
    EXPECT_FALSE(IsTaken(bad)) << bad;
  }
}

TEST(BaggageParseTest, MalformedEntryIsRemovedAndTheOthersStay) {
  int64_t dropped = 5;
  const Baggage baggage = Baggage::Parse("a=1,b,c=\",d=4", {}, &dropped);
  EXPECT_EQ(EntriesOf(baggage), (Entries{{"a", "1"}, {"d", "4"}}));
  EXPECT_EQ(dropped, 7);
}

// RFC 7230, 7: "a recipient MUST parse and ignore a reasonable number of empty
// list elements".
TEST(BaggageParseTest, EmptyElementsAreIgnored) {
  int64_t dropped = 0;
  EXPECT_EQ(EntriesOf(Baggage::Parse(",a=1,, ,b=2,", {}, &dropped)),
            (Entries{{"a", "1"}, {"b", "2"}}));
  EXPECT_TRUE(Baggage::Parse("", {}, &dropped).empty());
  EXPECT_TRUE(Baggage::Parse(" ,\t,", {}, &dropped).empty());
  EXPECT_EQ(dropped, 0);
}

TEST(BaggageParseTest, EntriesWithOneKeyAndTheirOrderStay) {
  const Baggage baggage = Baggage::Parse("a=1,b=2,a=3");
  EXPECT_EQ(EntriesOf(baggage), (Entries{{"a", "1"}, {"b", "2"}, {"a", "3"}}));
  EXPECT_EQ(baggage.header(), "a=1,b=2,a=3");
  EXPECT_EQ(baggage.Get("a"), "3");
}

// ---- Percent-encoding ------------------------------------------------------

TEST(BaggageDecodeTest, DecodesBothCasesOfHexDigits) {
  EXPECT_EQ(ValueOf("%c3%A9%20%2C%3b%5C%22%25"), "\xc3\xa9 ,;\\\"%");
  EXPECT_EQ(ValueOf("%00"), std::string(1, '\0'));
  EXPECT_EQ(ValueOf("a+b"), "a+b");  // no form data
}

TEST(BaggageDecodeTest, PercentWithoutTwoHexDigitsIsMalformed) {
  for (const char* bad :
       {"%", "a%", "%2", "%g0", "%0g", "%%20", "%2%20", "%x"}) {
    EXPECT_EQ(ValueOf(bad), std::nullopt) << bad;
  }
  EXPECT_FALSE(IsTaken("k=% 20"));
}

TEST(BaggageDecodeTest, OctetsThatAreNoUtf8BecomeTheReplacementCharacter) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(ValueOf("a%FFb"), "a" + r + "b");
  EXPECT_EQ(ValueOf("%C3"), r);         // cut short
  EXPECT_EQ(ValueOf("%C3a"), r + "a");  // so the next one stays
  EXPECT_EQ(ValueOf("%C3%C3%A9"), r + "\xc3\xa9");
  EXPECT_EQ(ValueOf("%A9"), r);                // a continuation by itself
  EXPECT_EQ(ValueOf("%C0%80"), r + r);         // overlong
  EXPECT_EQ(ValueOf("%E0%80%80"), r + r + r);  // overlong
  EXPECT_EQ(ValueOf("%ED%A0%80"), r + r + r);  // a surrogate
  EXPECT_EQ(ValueOf("%F5%80%80%80"), r + r + r + r);
  EXPECT_EQ(ValueOf("%F4%90%80%80"), r + r + r + r);  // above U+10FFFF
  EXPECT_EQ(ValueOf("%F0%9F%98"), r);  // one for the maximal part
  EXPECT_EQ(ValueOf("%E2%82x"), r + "x");
}

TEST(BaggageDecodeTest, EveryLengthOfUtf8IsKept) {
  EXPECT_EQ(ValueOf("%7F"), "\x7f");
  EXPECT_EQ(ValueOf("%C2%80"), "\xc2\x80");
  EXPECT_EQ(ValueOf("%E0%A0%80"), "\xe0\xa0\x80");
  EXPECT_EQ(ValueOf("%ED%9F%BF"), "\xed\x9f\xbf");
  EXPECT_EQ(ValueOf("%F0%90%80%80"), "\xf0\x90\x80\x80");
  EXPECT_EQ(ValueOf("%F4%8F%BF%BF"), "\xf4\x8f\xbf\xbf");
}

TEST(BaggageDecodeTest, PropertiesAreDecodedByTheSameRules) {
  EXPECT_EQ(Baggage::Parse("a=1;p=%FF%20")[0].properties(),
            (std::vector<BaggageProperty>{{"p", "\xef\xbf\xbd "}}));
}

TEST(BaggageEncodeTest, EncodesAllButBaggageOctetsAndThePercentSign) {
  for (int c = 0; c < 0x80; ++c) {
    const std::string value(1, static_cast<char>(c));
    const Baggage baggage = Baggage().With("k", value);
    const bool plain = c > 0x20 && c < 0x7f && c != '"' && c != ',' &&
                       c != ';' && c != '\\' && c != '%';
    EXPECT_EQ(baggage.header().size(), plain ? 3u : 5u) << c;
    EXPECT_EQ(baggage.Get("k"), value);
    EXPECT_EQ(Baggage::Parse(baggage.header()).Get("k"), value) << c;
  }
  EXPECT_EQ(Baggage().With("k", "100% Am\xc3\xa9lie").header(),
            "k=100%25%20Am%C3%A9lie");
}

TEST(BaggageEncodeTest, TakesNoValueThatIsNoUtf8) {
  EXPECT_TRUE(Baggage().With("k", "\xff").empty());
  EXPECT_TRUE(Baggage().With("k", "v", {{"p", "\xff"}}).empty());
}

// ---- Limits ----------------------------------------------------------------

TEST(BaggageLimitsTest, All64EntriesAreTaken) {
  int64_t dropped = 0;
  EXPECT_EQ(Baggage::Parse(Members(64, 8), {}, &dropped).size(), 64u);
  EXPECT_EQ(dropped, 0);
  const Baggage baggage = Baggage::Parse(Members(66, 8), {}, &dropped);
  EXPECT_EQ(baggage.header(), Members(64, 8));
  EXPECT_EQ(dropped, 2);
}

TEST(BaggageLimitsTest, All8192BytesAreTaken) {
  int64_t dropped = 0;
  const std::string longest = Members(63, 128) + ",z=" + std::string(63, 'x');
  ASSERT_EQ(longest.size(), 8192u);
  EXPECT_EQ(Baggage::Parse(longest, {}, &dropped).header(), longest);
  EXPECT_EQ(dropped, 0);
  EXPECT_EQ(Baggage::Parse(longest + "x", {}, &dropped).header(),
            Members(63, 128));
  EXPECT_EQ(dropped, 1);
}

TEST(BaggageLimitsTest, BlanksDoNotCount) {
  int64_t dropped = 0;
  EXPECT_EQ(Baggage::Parse("a = 1 , b = 2", {2, 7}, &dropped).header(),
            "a=1,b=2");
  EXPECT_EQ(dropped, 0);
}

TEST(BaggageLimitsTest, NoPartialEntryIsTaken) {
  int64_t dropped = 0;
  EXPECT_EQ(Baggage::Parse("a=1,b=234,c=3", {64, 7}, &dropped).header(),
            "a=1,c=3");
  EXPECT_EQ(dropped, 1);
  EXPECT_TRUE(Baggage::Parse("a=1;property", {64, 11}, &dropped).empty());
  EXPECT_EQ(dropped, 2);
}

TEST(BaggageLimitsTest, WithinLeavesOutWhatIsBeyond) {
  const Baggage baggage = Baggage::Parse("a=1,b=234,c=%20");
  EXPECT_EQ(baggage.Within({3, 15}), baggage);
  EXPECT_EQ(baggage.Within({2, 15}).header(), "a=1,b=234");
  EXPECT_EQ(baggage.Within({3, 9}).header(), "a=1,b=234");
  EXPECT_EQ(baggage.Within({3, 8}).header(), "a=1");
  EXPECT_EQ(baggage.Within({3, 9}).Get("b"), "234");
  EXPECT_TRUE(baggage.Within({0, 100}).empty());
  EXPECT_TRUE(baggage.Within({100, 0}).empty());
}

// ---- Mutating --------------------------------------------------------------

TEST(BaggageMutationTest, AddsAnEntryAtTheEnd) {
  const Baggage a = Baggage().With("a", "1");
  const Baggage ab = a.With("b", "2", {{"p", std::nullopt}, {"q", "x y"}});
  EXPECT_EQ(ab.header(), "a=1,b=2;p;q=x%20y");
  EXPECT_EQ(ab[1].properties(),
            (std::vector<BaggageProperty>{{"p", std::nullopt}, {"q", "x y"}}));
  EXPECT_EQ(a.header(), "a=1");  // is a value
}

TEST(BaggageMutationTest, UpdatesAnEntryAndLeavesNoneOfItsKeyBehind) {
  EXPECT_EQ(Baggage::Parse("a=1,b=%20;p,a=3").With("a", "4").header(),
            "b=%20;p,a=4");
  const Baggage baggage = Baggage::Parse("a=1,b=%20").With("c", "3");
  EXPECT_EQ(baggage.Get("b"), " ");
}

TEST(BaggageMutationTest, NoEntryIsBetterThanTheOneBefore) {
  const Baggage baggage = Baggage::Parse("tenant=acme,a=1");
  EXPECT_EQ(baggage.With("tenant", "\xff").header(), "a=1");
  EXPECT_EQ(baggage.With("tenant", "b", {{"", "1"}}).header(), "a=1");
  EXPECT_EQ(baggage.With("te nant", "b"), baggage);
  EXPECT_EQ(baggage.With("", "b"), baggage);
}

TEST(BaggageMutationTest, DeletesAllEntriesOfAKeyAndKeepsTheOrderOfOthers) {
  EXPECT_EQ(Baggage::Parse("b=1,a=1,c=3,a=2").Without("a").header(), "b=1,c=3");
  EXPECT_EQ(Baggage::Parse("a=1").Without("b").header(), "a=1");
  EXPECT_TRUE(Baggage::Parse("a=1").Without("a").empty());
  EXPECT_TRUE(Baggage().Without("a").empty());
}

TEST(BaggageTest, EmptyOneHasNothing) {
  const Baggage baggage;
  EXPECT_TRUE(baggage.empty());
  EXPECT_EQ(baggage.size(), 0u);
  EXPECT_EQ(baggage.header(), "");
  EXPECT_EQ(baggage.Get("a"), std::nullopt);
  EXPECT_EQ(baggage, Baggage::Parse("nothing good"));
}

TEST(BaggageTest, ViewsOutliveTheValueAsLongAsACopyExists) {
  std::string_view value;
  Baggage copy;
  {
    const Baggage baggage =
        Baggage().With("key", "a value, and a long one too");
    value = *baggage.Get("key");
    copy = baggage;
  }
  EXPECT_EQ(value, "a value, and a long one too");
}

TEST(BaggageOfTest, IsEmptyWithoutAndTheNearestWithSome) {
  EXPECT_TRUE(BaggageOf(Background()).empty());
  const Context outer =
      WithBaggage(Background(), Baggage().With("a", "1").With("b", "2"));
  const Context inner = WithBaggage(outer, Baggage().With("a", "3"));
  EXPECT_EQ(BaggageOf(outer).Get("a"), "1");
  EXPECT_EQ(BaggageOf(inner).Get("a"), "3");
  EXPECT_EQ(BaggageOf(inner).Get("b"), std::nullopt);
}

}  // namespace
}  // namespace tether
