// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/hostile_metadata.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tether/budget/report.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {
namespace {

// SplitMix64: cheap to seed, so each set can have a generator of its own.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // 0 to n - 1.
  size_t Below(size_t n) { return static_cast<size_t>(Next() % n); }
  bool OneIn(size_t n) { return Below(n) == 0; }

  template <size_t N>
  const char* Pick(const char* const (&words)[N]) {
    return words[Below(N)];
  }

 private:
  uint64_t state_;
};

bool IsBinary(std::string_view name) {
  return name.size() >= 4 && name.substr(name.size() - 4) == "-bin";
}

// ---- Valid values ----

std::string Digits(Random& random, size_t n, const char* of) {
  const std::string_view digits(of);
  std::string text;
  for (size_t i = 0; i < n; ++i) text += digits[random.Below(digits.size())];
  return text;
}

std::string Hex(Random& random, size_t n) {
  return Digits(random, n, "0123456789abcdef");
}

std::string Word(Random& random, size_t most) {
  return Digits(random, 1 + random.Below(most), "abcdefghijklmnopqrstuvwxyz_-");
}

std::string Bytes(Random& random, size_t n) {
  std::string bytes(n, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  return bytes;
}

// A small number, or one at a limit or beyond it.
size_t Count(Random& random, size_t limit) {
  return random.OneIn(4) ? limit - 2 + random.Below(5) : 1 + random.Below(4);
}

std::string TraceParent(Random& random) {
  return absl::StrCat("00-", Hex(random, 32), "-", Hex(random, 16), "-0",
                      random.Below(4));
}

std::string TraceState(Random& random) {
  std::string state;
  for (size_t n = Count(random, 32); n != 0; --n) {
    absl::StrAppend(&state, state.empty() ? "" : ",", "k", Hex(random, 3), "=",
                    Word(random, random.OneIn(8) ? 250 : 10));
  }
  return state;
}

std::string Baggage(Random& random) {
  std::string baggage;
  for (size_t n = Count(random, 64); n != 0; --n) {
    absl::StrAppend(&baggage, baggage.empty() ? "" : ", ", Word(random, 8), "=",
                    Word(random, random.OneIn(8) ? 200 : 12));
    if (random.OneIn(3)) absl::StrAppend(&baggage, "%20%C3%A9%00");
    if (random.OneIn(4)) absl::StrAppend(&baggage, ";ttl=3; secret");
  }
  return baggage;
}

std::string B3(Random& random) {
  return absl::StrCat(Hex(random, random.OneIn(2) ? 32 : 16), "-",
                      Hex(random, 16), "-", random.Pick({"0", "1", "d"}), "-",
                      Hex(random, 16));
}

// A timeout: zero, or too long to pass while the test runs.
std::string Timeout(Random& random) {
  return random.OneIn(8) ? "0"
                         : Digits(random, 9 + random.Below(9), "123456789");
}

void Fill(Random& random, int depth, v1::BudgetReport& report) {
  report.set_service("shop.v1." + Word(random, 20));
  report.set_method(Word(random, 20));
  report.set_time_left_us(static_cast<int64_t>(random.Below(1'000'000)));
  report.set_total_us(static_cast<int64_t>(random.Below(1'000'000)));
  report.set_outcome(static_cast<int>(random.Below(17)));
  report.set_reason(static_cast<v1::EndReason>(random.Below(10)));
  for (size_t n = depth == 0 ? 0 : random.Below(4); n != 0; --n) {
    v1::CallReport& call = *report.add_calls();
    call.set_service("shop.v1." + Word(random, 20));
    call.set_start_us(static_cast<int64_t>(random.Below(1000)));
    call.set_duration_us(static_cast<int64_t>(random.Below(1'000'000)));
    call.set_answered(true);
    Fill(random, depth - 1, *call.mutable_report());
  }
}

std::string Report(Random& random) {
  v1::BudgetReport report;
  Fill(random, static_cast<int>(random.Below(5)), report);
  return random.OneIn(2) ? EncodeReport(std::move(report))
                         : report.SerializeAsString();
}

// A valid header of those that tether reads.
MetadataHeader GoodHeader(Random& random) {
  switch (random.Below(19)) {
    case 0:
    case 1:
      return {"traceparent", TraceParent(random)};
    case 2:
    case 3:
      return {"tracestate", TraceState(random)};
    case 4:
    case 5:
      return {"baggage", Baggage(random)};
    case 6:
      return {"b3", B3(random)};
    case 7:
      return {"x-b3-traceid", Hex(random, 32)};
    case 8:
      return {"x-b3-spanid", Hex(random, 16)};
    case 9:
      return {random.Pick({"x-b3-sampled", "x-b3-flags"}),
              random.Pick({"0", "1"})};
    case 10:
      return {"x-b3-parentspanid", Hex(random, 16)};
    case 11:
      return {"x-request-id", Hex(random, 1 + random.Below(128))};
    case 12:
      return {"tether-timeout", Timeout(random)};
    case 13:
      return {kOwnNumber, std::to_string(random.Below(1'000'000))};
    case 14:
      return {kOwnBinary, Bytes(random, random.Below(100))};
    case 15:
      return {kOwnProto, Report(random)};
    case 16:
      return {kRelayed, Word(random, 40)};
    case 17:
      return {"tether-reserve", Timeout(random)};
    default:
      return {kRelayedBinary, Bytes(random, random.Below(100))};
  }
}

// ---- Mutations ----

// gRPC can send only these bytes; others end the process.
void MakeLegal(Random& random, MetadataHeader& header) {
  if (IsBinary(header.name)) return;
  for (char& c : header.value) {
    if (c < 0x20 || c > 0x7e) c = static_cast<char>(0x20 + random.Below(95));
  }
}

void Mutate(Random& random, std::string& value) {
  const size_t at = random.Below(value.size() + 1);
  const size_t size = random.Below(value.size() - at + 1);
  switch (random.Below(12)) {
    case 0:  // flip a bit
    case 1:
      if (at < value.size()) {
        value[at] = static_cast<char>(value[at] ^ (1 << random.Below(8)));
      }
      return;
    case 2:  // truncated
      return value.resize(at);
    case 3:  // truncated at the front
      value.erase(0, at);
      return;
    case 4:  // a repeated part
      value.insert(at, value.substr(at, size));
      return;
    case 5:  // a part is missing
      value.erase(at, size);
      return;
    case 6:  // text that means something to a parser
      value.insert(at,
                   random.Pick({",",  ";",  "=",   "%",   "-",   " ",      "\t",
                                "\"", "%%", "%0",  "%zz", "%00", "%ff%fe", ",,",
                                "==", ";;", " = ", "\\",  "0",   "\x7f"}));
      return;
    case 7:  // numbers that are out of range or oddly written
      value.insert(
          at, random.Pick({"99999999999999999999999", "18446744073709551616",
                           "-9223372036854775809", "4294967296", "+1", "1e309",
                           "0x10", "000000000000000000000000"}));
      return;
    case 8:  // many bytes
      value.insert(at, 1 + random.Below(3000), "a%,= 0"[random.Below(6)]);
      return;
    case 9: {  // a part, repeated many times
      const std::string once = value.substr(0, 200);
      for (size_t n = random.Below(70); n != 0; --n) value += "," + once;
      return;
    }
    case 10:  // another case
      for (char& c : value) {
        if (c >= 'a' && c <= 'z' && random.OneIn(4)) c -= 'a' - 'A';
      }
      return;
    default:  // anything
      value = Bytes(random, random.Below(300));
  }
}

void MutateSet(Random& random, std::vector<MetadataHeader>& headers) {
  if (headers.empty()) return;
  for (size_t n = random.Below(5); n != 0; --n) {
    Mutate(random, headers[random.Below(headers.size())].value);
  }
  if (random.OneIn(6)) {  // repeated, maybe more often than any limit
    const MetadataHeader again = headers[random.Below(headers.size())];
    for (size_t n = random.OneIn(4) ? 70 : 1 + random.Below(9); n != 0; --n) {
      headers.insert(headers.begin() + random.Below(headers.size() + 1), again);
    }
  }
  if (random.OneIn(8)) {  // the value of another header
    headers[random.Below(headers.size())].value =
        headers[random.Below(headers.size())].value;
  }
  if (random.OneIn(8)) {  // an unknown header
    headers.push_back({"x-" + Hex(random, 1 + random.Below(40)),
                       Bytes(random, random.Below(200))});
  }
}

std::vector<MetadataHeader> Finish(Random& random,
                                   std::vector<MetadataHeader> headers) {
  MutateSet(random, headers);
  while (BytesOf(headers) > kMaxHostileBytes) {
    headers.erase(headers.begin() + random.Below(headers.size()));
  }
  for (MetadataHeader& header : headers) MakeLegal(random, header);
  return headers;
}

Random RandomOf(uint64_t seed, uint64_t number) {
  return Random(Random(seed).Next() + number * 0x2545f4914f6cdd1d);
}

}  // namespace

std::vector<MetadataHeader> HostileRequest(uint64_t seed, uint64_t number) {
  Random random = RandomOf(seed, number);
  std::vector<MetadataHeader> headers;
  for (size_t n = 1 + random.Below(10); n != 0; --n) {
    headers.push_back(GoodHeader(random));
  }
  return Finish(random, std::move(headers));
}

std::vector<MetadataHeader> HostileAnswer(uint64_t seed, uint64_t number) {
  Random random = RandomOf(seed, ~number);
  std::vector<MetadataHeader> headers;
  if (!random.OneIn(4))
    headers.push_back({"tether-report-bin", Report(random)});
  for (size_t n = random.Below(4); n != 0; --n) {
    headers.push_back(GoodHeader(random));
  }
  return Finish(random, std::move(headers));
}

size_t BytesOf(const std::vector<MetadataHeader>& headers) {
  size_t bytes = 0;
  for (const MetadataHeader& header : headers) {
    const size_t size = header.value.size();
    bytes += 32 + header.name.size() +
             (IsBinary(header.name) ? (size + 2) / 3 * 4 : size);
  }
  return bytes;
}

std::string Describe(const std::vector<MetadataHeader>& headers) {
  std::string text = "{";
  for (const MetadataHeader& header : headers) {
    absl::StrAppend(&text, "\n  {\"", header.name, "\", \"",
                    absl::CHexEscape(header.value), "\"},");
  }
  return text + "}";
}

}  // namespace tether
