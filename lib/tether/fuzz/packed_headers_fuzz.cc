// SPDX-License-Identifier: Apache-2.0
//
// Packed headers. Each input is unpacked as it is; if it is well-formed, what
// it contains can be packed again. Each line, "name:value", is also packed, and
// arrives unchanged.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/internal/packed_headers.h"

namespace tether::fuzz {
namespace {

using internal::ForEachPacked;
using internal::PackedHeaders;
using Headers = std::vector<std::pair<std::string, std::string>>;

Headers Unpack(std::string_view header) {
  Headers headers;
  const bool good = ForEachPacked(
      header, [&headers](std::string_view name, std::string_view value) {
        headers.emplace_back(name, value);
      });
  FUZZ_CHECK(good || headers.empty());
  return headers;
}

// Packs `headers`; a receiver must find the last value of each.
void PackAndUnpack(const Headers& headers) {
  MapCarrier arrived;
  PackedHeaders packed(arrived);
  for (const auto& header : headers) packed.Set(header.first, header.second);
  const Headers fields = Unpack(packed.text());
  FUZZ_CHECK(packed.empty() == fields.empty());
  for (const auto& field : fields) {
    // Not in a header of its own, too.
    FUZZ_CHECK(!arrived.Get(field.first).has_value());
    arrived.Set(field.first, field.second);
  }
  MapCarrier expected;
  for (const auto& header : headers) expected.Set(header.first, header.second);
  FUZZ_CHECK(arrived.map() == expected.map());
}

void Run(std::string_view text) {
  PackAndUnpack(Unpack(text));
  Headers headers;
  for (const std::string_view line : Lines(text)) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    headers.emplace_back(MapCarrier{{line.substr(0, colon), ""}}
                             .map()
                             .begin()
                             ->first,  // in lower case
                         line.substr(colon + 1));
  }
  PackAndUnpack(headers);
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
