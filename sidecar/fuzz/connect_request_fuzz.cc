// SPDX-License-Identifier: Apache-2.0
//
// A CONNECT request: what is read doesn't depend on how it was cut into pieces.
// The input is what a client sends.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "sidecar/address.h"
#include "sidecar/connect_request.h"
#include "tether/fuzz/fuzz_check.h"

namespace tether::sidecar {
namespace {

void Check(std::string_view received) {
  const auto target = ReadConnectRequest(received);
  if (!target.ok()) {
    for (const char c : target.status().message()) {
      FUZZ_CHECK(absl::ascii_isprint(static_cast<unsigned char>(c)));
    }
    // More bytes don't mend it.
    const std::string more = std::string(received) + "\r\n\r\n";
    FUZZ_CHECK(!ReadConnectRequest(more).ok());
    return;
  }
  if (!target->has_value()) {
    FUZZ_CHECK(received.size() < kLongestConnectRequest);
    return;
  }
  for (size_t size = 0; size < received.size(); ++size) {
    const auto part = ReadConnectRequest(received.substr(0, size));
    FUZZ_CHECK(part.ok() && !part->has_value());
  }
  FUZZ_CHECK((*target)->path.empty() && (*target)->port > 0);
  const auto again = ParseAddress((*target)->ToString());
  FUZZ_CHECK(again.ok() && again->ToString() == (*target)->ToString());
}

}  // namespace
}  // namespace tether::sidecar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::sidecar::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
