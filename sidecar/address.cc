// SPDX-License-Identifier: Apache-2.0

#include "sidecar/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace tether::sidecar {
namespace {

constexpr int kMaxPort = 65535;
constexpr int kHttpsPort = 443;
constexpr size_t kMaxHost = 255;
constexpr size_t kMaxPath = sizeof(sockaddr_un{}.sun_path) - 1;
constexpr const char* kForms = "write host:port, [v6]:port or unix:/path";

absl::Status Bad(const std::string& text) {
  return absl::InvalidArgumentError(text);
}

bool Take(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < 127; });
}

std::optional<int> ParsePort(std::string_view text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  int port = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      return std::nullopt;
    }
    port = port * 10 + (c - '0');
  }
  return port > kMaxPort ? std::nullopt : std::optional(port);
}

// Of an IPv6 address without brackets. Its zone ("%eth0") is kept.
std::optional<std::string> ParseV6(std::string_view text) {
  const size_t zone_at = text.find('%');
  const std::string_view zone =
      zone_at == text.npos ? "" : text.substr(zone_at);
  if (zone.size() == 1) return std::nullopt;
  in6_addr v6;
  const std::string ip(text.substr(0, zone_at));
  if (inet_pton(AF_INET6, ip.c_str(), &v6) != 1) return std::nullopt;
  char out[INET6_ADDRSTRLEN];
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, &v6.s6_addr[12], out, sizeof(out));
    return out;
  }
  inet_ntop(AF_INET6, &v6, out, sizeof(out));
  return absl::StrCat(out, std::string(zone));
}

// A name, or an IPv4 address. The resolver would read other texts of digits and
// dots as an IPv4 address, too: "0", "127.1".
std::optional<std::string> ParseHost(std::string_view text) {
  if (text.empty() || text.size() > kMaxHost) return std::nullopt;
  bool is_number = true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (!absl::ascii_isalnum(byte) && c != '.' && c != '-' && c != '_') {
      return std::nullopt;
    }
    is_number = is_number && (absl::ascii_isdigit(byte) || c == '.');
  }
  const std::string host =
      absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
  in_addr v4;
  if (is_number && inet_pton(AF_INET, host.c_str(), &v4) != 1) {
    return std::nullopt;
  }
  return host;
}

absl::StatusOr<Address> ParsePath(std::string_view text) {
  // "unix:///run/x" is "unix:/run/x".
  if (text.substr(0, 3) == "///") text.remove_prefix(2);
  if (text.empty() || text.front() != '/' || text.back() == '/') {
    return Bad("has no absolute path of a socket; write unix:/path");
  }
  if (text.size() > kMaxPath) {
    return Bad(absl::StrCat("has a path of more than ", kMaxPath, " bytes"));
  }
  Address address;
  address.path = std::string(text);
  return address;
}

absl::StatusOr<Address> ParseHostPort(std::string_view text) {
  std::optional<std::string> host;
  std::string_view rest;
  if (Take(text, "[")) {
    const size_t end = text.find(']');
    if (end == text.npos) return Bad(absl::StrCat("has no ]; ", kForms));
    host = ParseV6(text.substr(0, end));
    rest = text.substr(end + 1);
  } else {
    const size_t end = text.find(':');
    if (end != text.npos && text.find(':', end + 1) != text.npos) {
      return Bad("needs brackets around an IPv6 address; write [v6]:port");
    }
    host = ParseHost(text.substr(0, end));
    rest = end == text.npos ? "" : text.substr(end);
  }
  if (!host) return Bad(absl::StrCat("has no valid host; ", kForms));
  if (!Take(rest, ":")) return Bad(absl::StrCat("has no port; ", kForms));
  const std::optional<int> port = ParsePort(rest);
  if (!port) return Bad("has a port that isn't 0 to 65535");
  Address address;
  address.host = *host;
  address.port = *port;
  return address;
}

bool IsWildcard(const std::string& host) {
  return host == "0.0.0.0" || host == "::";
}

// Of a host that is in its one form.
bool IsV4(const std::string& host) {
  return host.find_first_not_of("0123456789.") == host.npos;
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" ||
         (IsV4(host) && host.compare(0, 4, "127.") == 0);
}

bool SameHost(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto is_localhost = [](const std::string& name, const std::string& ip) {
    return name == "localhost" && (ip == "127.0.0.1" || ip == "::1");
  };
  return is_localhost(a, b) || is_localhost(b, a);
}

// The schemes of gRPC's resolvers whose names aren't checked here.
bool HasOpaqueScheme(std::string_view target) {
  constexpr std::string_view kSchemes[] = {
      "unix-abstract:", "vsock:", "xds:", "google-c2p:",
      "google-c2p-experimental:"};
  return std::any_of(std::begin(kSchemes), std::end(kSchemes),
                     [&](std::string_view scheme) {
                       return Take(target, scheme) && !target.empty();
                     });
}

std::vector<std::string_view> Split(std::string_view list) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t comma = list.find(',');
    parts.push_back(list.substr(0, comma));
    if (comma == list.npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

// A target without its scheme.
struct Names {
  // Each as ParseAddress takes it.
  std::vector<std::string_view> names;
  // gRPC adds the port 443.
  bool port_may_miss = false;
};

// Nullopt if the scheme is unknown or has no addresses.
std::optional<Names> NamesIn(std::string_view target) {
  if (target.substr(0, 5) == "unix:") return Names{{target}};
  if (Take(target, "dns:")) {
    // A name server is between "//" and the next "/".
    if (Take(target, "//")) {
      const size_t slash = target.find('/');
      target = slash == target.npos ? "" : target.substr(slash + 1);
    }
    return Names{{target}, /*port_may_miss=*/true};
  }
  if (Take(target, "ipv4:") || Take(target, "ipv6:")) {
    Take(target, "///");
    return Names{Split(target)};
  }
  if (target.find("://") != target.npos) return std::nullopt;
  return Names{{target}};
}

absl::StatusOr<Address> ParseName(std::string_view name, bool port_may_miss) {
  if (port_may_miss) {
    const std::optional<std::string> host = ParseHost(name);
    if (host) return Address{*host, kHttpsPort, ""};
  }
  absl::StatusOr<Address> address = ParseAddress(name);
  if (address.ok() && address->path.empty() && address->port == 0) {
    return Bad("has the port 0, to which nobody can connect");
  }
  return address;
}

}  // namespace

std::string Address::ToString() const {
  if (!path.empty()) return absl::StrCat("unix:", path);
  if (host.find(':') == host.npos) return absl::StrCat(host, ":", port);
  return absl::StrCat("[", host, "]:", port);
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (!IsPrintable(text)) {
    return Bad("has characters that aren't printable ASCII");
  }
  return Take(text, "unix:") ? ParsePath(text) : ParseHostPort(text);
}

absl::Status CheckTarget(std::string_view target) {
  if (!IsPrintable(target)) {
    return Bad("has characters that aren't printable ASCII");
  }
  if (HasOpaqueScheme(target)) return absl::OkStatus();
  const std::optional<Names> names = NamesIn(target);
  if (!names) return Bad("has a scheme that gRPC doesn't know");
  for (const std::string_view name : names->names) {
    const auto address = ParseName(name, names->port_may_miss);
    if (!address.ok()) return address.status();
  }
  return absl::OkStatus();
}

std::vector<Address> AddressesOf(std::string_view target) {
  std::vector<Address> addresses;
  if (HasOpaqueScheme(target)) return addresses;
  const std::optional<Names> names = NamesIn(target);
  if (!names) return addresses;
  for (const std::string_view name : names->names) {
    const auto address = ParseName(name, names->port_may_miss);
    if (address.ok()) addresses.push_back(*address);
  }
  return addresses;
}

bool IsLocal(const Address& address) {
  return !address.path.empty() || IsLoopback(address.host);
}

bool IsIpOrLocalhost(const Address& address) {
  const std::string& host = address.host;
  return host == "localhost" || host.find(':') != host.npos ||
         (!host.empty() && IsV4(host));
}

bool IsHostName(std::string_view text) { return ParseHost(text).has_value(); }

bool IsHeaderName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '-' || c == '_';
  });
}

bool Overlap(const Address& a, const Address& b) {
  if (!a.path.empty() || !b.path.empty()) return a.path == b.path;
  // Each listener with port 0 gets a port of its own. gRPC listens on both
  // families for either wildcard.
  return a.port == b.port && a.port != 0 &&
         (SameHost(a.host, b.host) || IsWildcard(a.host) || IsWildcard(b.host));
}

bool LeadsTo(const Address& target, const Address& listen) {
  if (!target.path.empty() || !listen.path.empty()) {
    return target.path == listen.path;
  }
  if (target.port != listen.port) return false;
  // A connection to the wildcard address reaches this machine.
  const bool to_here = IsLoopback(target.host) || IsWildcard(target.host);
  return SameHost(target.host, listen.host) ||
         (to_here && IsWildcard(listen.host)) ||
         (IsWildcard(target.host) && IsLoopback(listen.host));
}

bool IsMethodPattern(std::string_view pattern) {
  if (pattern == "*") return true;
  if (!IsPrintable(pattern) || !Take(pattern, "/")) return false;
  const size_t slash = pattern.find('/');
  if (slash == pattern.npos || slash == 0) return false;
  const std::string_view service = pattern.substr(0, slash);
  const std::string_view method = pattern.substr(slash + 1);
  const auto is_name = [](std::string_view name) {
    return !name.empty() && name.find_first_of("/*") == name.npos;
  };
  return is_name(service) && (method == "*" || is_name(method));
}

}  // namespace tether::sidecar
