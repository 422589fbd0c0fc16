// SPDX-License-Identifier: Apache-2.0
//
// Addresses to listen on, and the Host header of requests. Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_HTTP_HOST_H_
#define TETHER_OBSERVABILITY_INTERNAL_HTTP_HOST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tether::internal {

struct ListenAddress {
  std::string ip;  // without brackets
  uint16_t port = 0;
  bool is_ipv6 = false;

  // "127.0.0.1:80", "[::1]:80".
  std::string WithPort(int actual_port) const;
};

// From "IPv4:port", "[IPv6]:port" or "localhost:port". A port alone would mean
// all addresses of the machine, so it is an error.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// True if `text` can be in StatusPageOptions::allowed_hosts.
bool IsHostName(absl::string_view text);

// True if `host`, a Host header, names an IP address, localhost, or one of
// `allowed`; with any port or none.
bool IsAllowedHost(absl::string_view host,
                   const std::vector<std::string>& allowed);

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_HTTP_HOST_H_
