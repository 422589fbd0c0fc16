// SPDX-License-Identifier: Apache-2.0
//
// tether-timeout: a timeout that is read is in range and is written
// unchanged.

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/timeout_header.h"

namespace tether::fuzz {
namespace {

bool IsLegal(std::string_view text) {
  return !text.empty() && text.size() <= size_t{kMaxTimeoutDigits} &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string_view WithoutLeadingZeros(std::string_view digits) {
  const size_t first = digits.find_first_not_of('0');
  return first == std::string_view::npos ? "0" : digits.substr(first);
}

void Run(std::string_view text) {
  const std::optional<absl::Duration> left = ParseTimeout(text);
  FUZZ_CHECK(left.has_value() == IsLegal(text));
  if (!left.has_value()) return;
  FUZZ_CHECK(*left >= absl::ZeroDuration());
  FUZZ_CHECK(*left < absl::Microseconds(1'000'000'000'000'000'000));
  FUZZ_CHECK(FormatTimeout(*left) == WithoutLeadingZeros(text));
  FUZZ_CHECK(FormatTimeout(*left + absl::Nanoseconds(999)) ==
             WithoutLeadingZeros(text));
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
