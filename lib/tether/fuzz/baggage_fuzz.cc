// SPDX-License-Identifier: Apache-2.0
//
// baggage: entries that are read obey the grammar and the limits, and read the
// same after they were written. Each line of the input is a header.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"

namespace tether::fuzz {
namespace {

// Small, so that inputs reach the limits.
constexpr BaggageLimits kLimits = {8, 200};

constexpr std::string_view kTokenCharacters =
    "!#$%&'*+-.^_`|~0123456789"
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

bool IsToken(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of(kTokenCharacters) == std::string_view::npos;
}

// By the definition: decodes and encodes again.
bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = static_cast<uint8_t>(text[i]);
    size_t more = 0;
    uint32_t c = lead;
    if (lead >= 0xf0) {
      more = 3;
      c = lead & 0x07u;
    } else if (lead >= 0xe0) {
      more = 2;
      c = lead & 0x0fu;
    } else if (lead >= 0xc0) {
      more = 1;
      c = lead & 0x1fu;
    } else if (lead >= 0x80) {
      return false;
    }
    if (lead >= 0xf8 || text.size() - i <= more) return false;
    for (size_t k = 1; k <= more; ++k) {
      const uint8_t next = static_cast<uint8_t>(text[i + k]);
      if ((next & 0xc0u) != 0x80u) return false;
      c = c << 6 | (next & 0x3fu);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (c < kLeast[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

void CheckEntries(const Baggage& baggage) {
  FUZZ_CHECK(baggage.size() <= kLimits.max_entries);
  FUZZ_CHECK(baggage.header().size() <= kLimits.max_bytes);
  FUZZ_CHECK(baggage.empty() == (baggage.size() == 0));
  for (const char c : baggage.header()) FUZZ_CHECK(c > 0x20 && c < 0x7f);
  for (size_t i = 0; i < baggage.size(); ++i) {
    FUZZ_CHECK(IsToken(baggage[i].key()));
    FUZZ_CHECK(IsUtf8(baggage[i].value()));
    FUZZ_CHECK(baggage.Get(baggage[i].key()).has_value());
    for (const BaggageProperty& property : baggage[i].properties()) {
      FUZZ_CHECK(IsToken(property.key));
      FUZZ_CHECK(!property.value.has_value() || IsUtf8(*property.value));
    }
  }
}

void CheckMutations(const Baggage& baggage) {
  for (size_t i = 0; i < baggage.size(); ++i) {
    const Baggage::Entry entry = baggage[i];
    const Baggage without = baggage.Without(entry.key());
    FUZZ_CHECK(!without.Get(entry.key()).has_value());
    FUZZ_CHECK(without.size() < baggage.size());
    // An entry that was read and written reads the same again.
    const Baggage with =
        without.With(entry.key(), entry.value(), entry.properties());
    FUZZ_CHECK(with.size() == without.size() + 1);
    FUZZ_CHECK(with[without.size()].value() == entry.value());
    FUZZ_CHECK(with[without.size()].properties() == entry.properties());
    FUZZ_CHECK(Baggage::Parse(with.header(), {SIZE_MAX, SIZE_MAX}) == with);
  }
}

void Run(std::string_view text) {
  MapCarrier incoming;
  for (const std::string_view line : Lines(text)) {
    incoming.Add(kBaggageHeader, line);
  }
  const BaggagePropagator propagator(kLimits);
  const Context ctx = propagator.Extract(incoming, Background());
  const Baggage& baggage = BaggageOf(ctx);
  FUZZ_CHECK(baggage.empty() == (ctx == Background()));
  CheckEntries(baggage);
  CheckMutations(baggage);

  MapCarrier outgoing;
  propagator.Inject(ctx, outgoing);
  FUZZ_CHECK(outgoing.map().size() == (baggage.empty() ? 0u : 1u));
  const BaggagePropagator next(kLimits);
  const Context there = next.Extract(outgoing, Background());
  FUZZ_CHECK(next.Dropped() == 0);
  FUZZ_CHECK(BaggageOf(there) == baggage);
  for (size_t i = 0; i < baggage.size(); ++i) {
    FUZZ_CHECK(BaggageOf(there)[i].value() == baggage[i].value());
  }

  // The same entries, set by the application.
  const Baggage own = Baggage().With("key", text, {{"p", std::string(text)}});
  FUZZ_CHECK(own.empty() == !IsUtf8(text));
  if (!own.empty()) {
    const Baggage read = Baggage::Parse(own.header(), {1, SIZE_MAX});
    FUZZ_CHECK(read.Get("key") == text);
    FUZZ_CHECK(read[0].properties()[0].value == text);
  }
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
