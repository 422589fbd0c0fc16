// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/header_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "tether/internal/exceptions.h"

namespace tether::internal {
namespace {

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Headers of the connection and of message framing. Setting them breaks calls,
// and forwarding them is forbidden (RFC 7230, 6.1; RFC 7540, 8.1.2.2).
constexpr std::array<std::string_view, 11> kConnectionHeaders = {
    "connection", "content-encoding", "content-length",    "content-type",
    "host",       "keep-alive",       "proxy-connection",  "te",
    "upgrade",    "user-agent",       "transfer-encoding",
};

// True if all of `text` is in kLowest..0x7e. Tests eight bytes at a time.
//
// This is exact. Bytes in range neither borrow nor carry, and have no high bit
// in either term. The lowest byte that is out of range has it: in the first
// term if it is below kLowest or 0xff, in the second if it is 0x7f to 0xfe.
template <uint8_t kLowest>
bool IsFromTo7e(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const auto high_bits = [](uint64_t word) {
    return ((word - kLowest * kOnes) | (word + kOnes)) & (kOnes << 7);
  };
  size_t left = text.size();
  const char* at = text.data();
  for (; left >= sizeof(uint64_t); left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    if (high_bits(word) != 0) return false;
  }
  for (; left != 0; --left, ++at) {
    if (*at < kLowest || *at > 0x7e) return false;
  }
  return true;
}

// For a `name` that is not a header name.
std::string_view WhyNotHeaderName(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (StartsWith(name, "grpc-")) return "\"grpc-...\" belongs to gRPC";
  if (StartsWith(name, "tether-")) return "\"tether-...\" belongs to tether";
  if (name == "tether") return "\"tether\" belongs to tether";
  if (std::find(kConnectionHeaders.begin(), kConnectionHeaders.end(), name) !=
      kConnectionHeaders.end()) {
    return "it belongs to the connection";
  }
  return "only letters, digits, '-', '_' and '.' are allowed";
}

}  // namespace

std::string LowerAscii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsHeaderName(std::string_view name) {
  return !name.empty() && !StartsWith(name, "grpc-") &&
         !StartsWith(name, "tether-") && name != "tether" &&
         std::find(kConnectionHeaders.begin(), kConnectionHeaders.end(),
                   name) == kConnectionHeaders.end() &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

std::string HeaderNameOrEmpty(std::string_view name) {
  std::string lower = LowerAscii(name);
  return IsHeaderName(lower) ? lower : std::string();
}

std::string HeaderNameOrThrow(const char* user, std::string_view name) {
  std::string lower = LowerAscii(name);
  if (IsHeaderName(lower)) return lower;
  std::string message = "tether::";
  message += user;
  message += ": '";
  for (const char c : name) message += IsPrintableAscii({&c, 1}) ? c : '?';
  message += "' can't be the name of a header: ";
  message += WhyNotHeaderName(lower);
#if !defined(__cpp_exceptions)
  std::fprintf(stderr, "%s\n", message.c_str());
#endif
  TETHER_THROW(std::invalid_argument(message));
}

bool IsVisibleAscii(std::string_view text) { return IsFromTo7e<0x21>(text); }

bool IsPrintableAscii(std::string_view text) { return IsFromTo7e<0x20>(text); }

bool IsHeaderText(std::string_view text) {
  if (text.empty()) return true;
  return text.front() != ' ' && text.back() != ' ' && IsPrintableAscii(text);
}

}  // namespace tether::internal
