// SPDX-License-Identifier: Apache-2.0
//
// Relayed headers: each is sent on whole and in order, or dropped. Each line of
// the input is a header, "name:value".

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/relay.h"

namespace tether::fuzz {
namespace {

// Small, so that inputs reach the limits.
constexpr RelayLimits kLimits = {16, 3, 40};

std::vector<std::string> ValuesOf(const Carrier& carrier,
                                  std::string_view name) {
  std::vector<std::string> values;
  for (int i = 0; carrier.Get(name, i).has_value(); ++i) {
    values.emplace_back(*carrier.Get(name, i));
  }
  return values;
}

bool CanBeSent(const std::vector<std::string>& values, bool is_binary) {
  if (values.size() > kLimits.max_values) return false;
  for (const std::string& value : values) {
    if (value.size() > kLimits.max_value_bytes) return false;
    for (const char c : value) {
      if (!is_binary && (c < 0x20 || c > 0x7e)) return false;
    }
  }
  return true;
}

void Run(std::string_view text) {
  MapCarrier incoming;
  for (const std::string_view line : Lines(text)) {
    const size_t colon = line.find(':');
    incoming.Add(line.substr(0, colon), colon == std::string_view::npos
                                            ? std::string_view()
                                            : line.substr(colon + 1));
  }
  const RelayPropagator relay({"a", "b-bin", "c"}, kLimits);
  MapCarrier outgoing;
  relay.Inject(relay.Extract(incoming, Background()), outgoing);
  size_t total = 0;
  size_t sent = 0;
  int64_t not_sent = 0;
  for (const std::string_view name : {"a", "b-bin", "c"}) {
    const std::vector<std::string> came = ValuesOf(incoming, name);
    const std::vector<std::string> went = ValuesOf(outgoing, name);
    if (came.empty()) {
      FUZZ_CHECK(went.empty());
      continue;
    }
    size_t bytes = 0;
    for (const std::string& value : came) bytes += value.size();
    const bool fits =
        CanBeSent(came, name == "b-bin") && total + bytes <= kLimits.max_bytes;
    FUZZ_CHECK(went == (fits ? came : std::vector<std::string>()));
    if (fits) total += bytes;
    if (!fits) ++not_sent;
    sent += went.size();
  }
  FUZZ_CHECK(outgoing.map().size() == sent);
  FUZZ_CHECK(relay.Dropped() == not_sent);
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
