// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/trace_context.h"

#include <array>
#include <cstddef>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"

namespace tether {
namespace {

constexpr std::string_view kTraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view kSpanId = "00f067aa0ba902b7";
constexpr std::string_view kHeader =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

bool Parses(std::string_view header) {
  return ParseTraceParent(header).has_value();
}

// Returns kHeader with `text` written over it at `at`.
std::string With(size_t at, std::string_view text) {
  std::string header(kHeader);
  return header.replace(at, text.size(), text);
}

TEST(ParseTraceParentTest, ReadsTheExampleOfTheStandard) {
  const std::optional<TraceContext> trace = ParseTraceParent(kHeader);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->TraceIdHex(), kTraceId);
  EXPECT_EQ(trace->SpanIdHex(), kSpanId);
  EXPECT_EQ(trace->trace_id[0], 0x4b);
  EXPECT_EQ(trace->span_id[1], 0xf0);
  EXPECT_EQ(trace->flags, 0x01);
  EXPECT_TRUE(trace->sampled());
  EXPECT_EQ(trace->trace_state, "");
}

TEST(ParseTraceParentTest, KeepsAllFlagsOfVersion00) {
  EXPECT_EQ(ParseTraceParent(With(53, "00"))->flags, 0x00);
  EXPECT_FALSE(ParseTraceParent(With(53, "00"))->sampled());
  EXPECT_EQ(ParseTraceParent(With(53, "ff"))->flags, 0xff);
}

TEST(ParseTraceParentTest, RejectsVersion00OfAnotherLength) {
  EXPECT_FALSE(Parses(std::string(kHeader) + "-"));
  EXPECT_FALSE(Parses(std::string(kHeader) + "-00"));
  EXPECT_FALSE(Parses(std::string(kHeader) + " "));
  EXPECT_FALSE(Parses(" " + std::string(kHeader)));
}

TEST(ParseTraceParentTest, RejectsEveryTruncation) {
  for (const std::string_view version : {"00", "01", "cc", "fe"}) {
    const std::string header = With(0, version);
    ASSERT_TRUE(Parses(header));
    for (size_t n = 0; n < header.size(); ++n) {
      EXPECT_FALSE(Parses(std::string_view(header).substr(0, n))) << n;
    }
  }
}

TEST(ParseTraceParentTest, RejectsUpperCase) {
  EXPECT_FALSE(Parses(With(3, "4BF92F35")));
  EXPECT_FALSE(Parses(With(36, "00F067AA")));
  EXPECT_FALSE(Parses(With(53, "0A")));
  EXPECT_FALSE(Parses(With(0, "0A")));
}

TEST(ParseTraceParentTest, RejectsIdsOfAllZeros) {
  EXPECT_FALSE(Parses(With(3, std::string(32, '0'))));
  EXPECT_FALSE(Parses(With(36, std::string(16, '0'))));
  EXPECT_TRUE(Parses(With(3, std::string(31, '0') + "1")));
  EXPECT_TRUE(Parses(With(36, "1" + std::string(15, '0'))));
}

TEST(ParseTraceParentTest, RejectsVersionFf) {
  EXPECT_FALSE(Parses(With(0, "ff")));
  EXPECT_FALSE(Parses(With(0, "ff") + "-more"));
}

TEST(ParseTraceParentTest, ReadsTheFirst55CharactersOfAHigherVersion) {
  for (const std::string_view version : {"01", "cc", "fe"}) {
    const std::string header = With(0, version);
    for (const std::string_view rest : {"", "-", "-what-the-future-brings"}) {
      const auto trace = ParseTraceParent(header + std::string(rest));
      ASSERT_TRUE(trace.has_value()) << version << rest;
      EXPECT_EQ(trace->TraceIdHex(), kTraceId);
      EXPECT_EQ(trace->SpanIdHex(), kSpanId);
    }
    for (const std::string_view rest : {".", "0", " ", "what", "\0"}) {
      EXPECT_FALSE(Parses(header + std::string(rest) + "x")) << version << rest;
    }
  }
}

TEST(ParseTraceParentTest, TakesOnlySampledFromTheFlagsOfAHigherVersion) {
  EXPECT_EQ(ParseTraceParent("01" + With(53, "ff").substr(2))->flags, 0x01);
  EXPECT_EQ(ParseTraceParent("01" + With(53, "fe").substr(2))->flags, 0x00);
}

// If any byte is replaced, the header is accepted if and only if it is still
// well-formed, and the result matches it.
TEST(ParseTraceParentTest, HoldsAgainstEverySingleByteMutation) {
  int accepted = 0;
  for (size_t at = 0; at < kHeader.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string header(kHeader);
      header[at] = static_cast<char>(byte);
      const bool is_dash = at == 2 || at == 35 || at == 52;
      const bool is_hex =
          (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
      const std::optional<TraceContext> trace = ParseTraceParent(header);
      ASSERT_EQ(trace.has_value(), is_dash ? byte == '-' : is_hex)
          << "byte " << byte << " at " << at;
      if (!trace.has_value()) continue;
      ++accepted;
      EXPECT_EQ(FormatTraceParent(*trace).substr(2, 51), header.substr(2, 51));
    }
  }
  EXPECT_EQ(accepted, 52 * 16 + 3);
}

TEST(ParseTraceParentTest, RejectsHostileInput) {
  EXPECT_FALSE(Parses(""));
  EXPECT_FALSE(Parses(std::string(1 << 20, '0')));
  EXPECT_FALSE(Parses(std::string(1 << 20, '-')));
  EXPECT_FALSE(Parses(std::string(55, '\0')));
  EXPECT_FALSE(Parses(std::string(55, '\xff')));
  EXPECT_FALSE(Parses(std::string(kHeader) + '\0'));
  EXPECT_TRUE(Parses(With(0, "01") + "-" + std::string(1 << 20, 'x')));
}

TEST(ParseTraceParentTest, NeverCrashesOnRandomBytes) {
  std::mt19937 random(1);
  const std::string_view alphabet("0123456789abcdefABF-\0\xff ", 23);
  for (int i = 0; i < 20000; ++i) {
    std::string header(random() % 70, '\0');
    for (char& c : header) c = alphabet[random() % alphabet.size()];
    (void)Parses(header);
  }
}

TEST(FormatTraceParentTest, RoundTripsRandomTraces) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 10000; ++i) {
    TraceContext trace;
    for (uint8_t& byte : trace.trace_id) byte = static_cast<uint8_t>(random());
    for (uint8_t& byte : trace.span_id) byte = static_cast<uint8_t>(random());
    trace.flags = static_cast<uint8_t>(random());
    const std::string header = FormatTraceParent(trace);
    EXPECT_EQ(header.size(), 55u);
    const std::optional<TraceContext> parsed = ParseTraceParent(header);
    ASSERT_TRUE(parsed.has_value()) << header;
    EXPECT_EQ(*parsed, trace);
  }
}

TEST(FormatTraceParentTest, WritesTheExampleOfTheStandard) {
  EXPECT_EQ(FormatTraceParent(*ParseTraceParent(kHeader)), kHeader);
}

TEST(NewTraceTest, IsValidAndSampledOnlyIfToldSo) {
  EXPECT_TRUE(NewTrace().valid());
  EXPECT_FALSE(NewTrace().sampled());
  EXPECT_TRUE(NewTrace(/*sampled=*/true).sampled());
}

// Level 2: "the random-trace-id flag SHOULD be set" if the id is random.
TEST(NewTraceTest, SaysThatItsIdIsRandom) {
  EXPECT_EQ(NewTrace().flags, TraceContext::kRandom);
  EXPECT_EQ(NewTrace(/*sampled=*/true).flags,
            TraceContext::kRandom | TraceContext::kSampled);
}

// Level 2: at least the right-most 7 bytes are uniformly distributed.
TEST(NewTraceTest, EveryBitOfTheTraceIdVaries) {
  constexpr int kTraces = 2000;
  std::array<std::array<int, 8>, 16> ones = {};
  for (int i = 0; i < kTraces; ++i) {
    const TraceContext trace = NewTrace();
    for (size_t b = 0; b < 16; ++b) {
      for (size_t bit = 0; bit < 8; ++bit) {
        ones[b][bit] += trace.trace_id[b] >> bit & 1;
      }
    }
  }
  // The expected value is half of them; the standard deviation is 22.
  for (const auto& of_byte : ones) {
    for (const int n : of_byte) EXPECT_NEAR(n, kTraces / 2, 200);
  }
}

TEST(NewTraceTest, IdsAreDistinctAcrossThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 1000;
  std::vector<std::vector<std::string>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&of_thread = ids[t]] {
      for (int i = 0; i < kEach; ++i) {
        const TraceContext trace = NewTrace();
        of_thread.push_back(trace.TraceIdHex());
        of_thread.push_back(trace.SpanIdHex());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  for (const auto& of_thread : ids)
    all.insert(of_thread.begin(), of_thread.end());
  EXPECT_EQ(all.size(), size_t{2 * kThreads * kEach});
}

TEST(TraceOfTest, IsNullWithoutATraceAndTheNearestWithSome) {
  EXPECT_EQ(TraceOf(Background()), nullptr);
  const TraceContext outer = NewTrace();
  const TraceContext inner = NewTrace();
  const Context a = WithTrace(Background(), outer);
  const Context b = WithTrace(a, inner);
  EXPECT_EQ(*TraceOf(a), outer);
  EXPECT_EQ(*TraceOf(b), inner);
}

}  // namespace
}  // namespace tether
