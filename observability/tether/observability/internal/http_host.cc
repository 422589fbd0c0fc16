// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/internal/http_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tether::internal {
namespace {

constexpr size_t kMaxHostName = 253;  // DNS' limit

bool IsIp(int family, absl::string_view text) {
  in6_addr address;  // has room for both families
  return inet_pton(family, std::string(text).c_str(), &address) == 1;
}

std::optional<uint16_t> ParsePort(absl::string_view text) {
  uint32_t port = 0;
  const bool is_digits =
      !text.empty() && text.size() <= 5 &&
      std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!is_digits || !absl::SimpleAtoi(text, &port) || port > 65535) {
    return std::nullopt;
  }
  return static_cast<uint16_t>(port);
}

// Divides "host:port" or "[host]:port". The port may be absent.
struct HostPort {
  absl::string_view host;
  std::optional<absl::string_view> port;
  bool has_brackets = false;
};

std::optional<HostPort> Split(absl::string_view text) {
  HostPort parts;
  absl::string_view rest;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return std::nullopt;
    parts.has_brackets = true;
    parts.host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    parts.host = text.substr(0, text.find(':'));
    rest = text.substr(parts.host.size());
  }
  if (rest.empty()) return parts;
  if (rest.front() != ':') return std::nullopt;
  parts.port = rest.substr(1);
  return parts;
}

}  // namespace

std::string ListenAddress::WithPort(int actual_port) const {
  return is_ipv6 ? absl::StrCat("[", ip, "]:", actual_port)
                 : absl::StrCat(ip, ":", actual_port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const std::optional<HostPort> parts = Split(text);
  const std::optional<uint16_t> port =
      parts && parts->port ? ParsePort(*parts->port) : std::nullopt;
  if (port) {
    ListenAddress address{std::string(parts->host), *port, parts->has_brackets};
    if (address.ip == "localhost" && !address.is_ipv6) address.ip = "127.0.0.1";
    if (IsIp(address.is_ipv6 ? AF_INET6 : AF_INET, address.ip)) return address;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text.substr(0, 100),
                   "' is not an address to listen on; write it as "
                   "127.0.0.1:8080, [::1]:8080 or localhost:8080"));
}

bool IsHostName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxHostName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '.' || c == '-' || c == '_';
         });
}

bool IsAllowedHost(absl::string_view host,
                   const std::vector<std::string>& allowed) {
  const std::optional<HostPort> parts = Split(host);
  if (!parts || (parts->port && !ParsePort(*parts->port))) return false;
  if (parts->has_brackets) return IsIp(AF_INET6, parts->host);
  return IsIp(AF_INET, parts->host) ||
         absl::EqualsIgnoreCase(parts->host, "localhost") ||
         std::any_of(allowed.begin(), allowed.end(),
                     [&](const std::string& name) {
                       return absl::EqualsIgnoreCase(parts->host, name);
                     });
}

}  // namespace tether::internal
