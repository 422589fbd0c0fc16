// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/header_text.h"

#include <algorithm>
#include <array>

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
         !StartsWith(name, "tether-") &&
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

bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7f; });
}

bool IsPrintableAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool IsHeaderText(std::string_view text) {
  if (text.empty()) return true;
  return text.front() != ' ' && text.back() != ' ' && IsPrintableAscii(text);
}

}  // namespace tether::internal
