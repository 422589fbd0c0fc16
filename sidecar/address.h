// SPDX-License-Identifier: Apache-2.0
//
// Addresses that a sidecar listens on, names that it connects to, names of
// headers, and patterns of methods: whether they are well formed, and which of
// them are the same.
// Nothing is resolved.

#ifndef TETHER_SIDECAR_ADDRESS_H_
#define TETHER_SIDECAR_ADDRESS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tether::sidecar {

// A host and a port, or a unix socket.
struct Address {
  // In one form for each host: an IP address as inet_ntop writes it (an IPv4
  // address that is mapped into IPv6 is an IPv4 address), or a name in lower
  // case. "" for a unix socket.
  std::string host;
  int port = 0;

  // "/run/app.sock". "" without a unix socket.
  std::string path;

  // As gRPC takes it: "127.0.0.1:80", "[::1]:80", "unix:/run/app.sock".
  std::string ToString() const;
};

// From "host:port", "[v6]:port", "unix:/absolute/path" or
// "unix:///absolute/path". The message of an error says what is wrong with
// `text`, which it doesn't repeat.
absl::StatusOr<Address> ParseAddress(std::string_view text);

// Checks a name that gRPC connects to. Errors as above.
absl::Status CheckTarget(std::string_view target);

// The addresses in a target. None if it has another form: "xds:///orders", or a
// malformed one.
std::vector<Address> AddressesOf(std::string_view target);

// True for loopback addresses, "localhost" and unix sockets.
bool IsLocal(const Address& address);

// True if `address` has an IP address or "localhost", which needs no resolver.
bool IsIpOrLocalhost(const Address& address);

// True for a host's name or an IPv4 address, without port.
bool IsHostName(std::string_view text);

// True for what gRPC takes as the name of a header, in either case.
bool IsHeaderName(std::string_view text);

// True if one socket can't listen on `a` while another listens on `b`.
bool Overlap(const Address& a, const Address& b);

// True if a connection to `target` reaches the socket that listens on `listen`.
// Names other than "localhost", and other addresses of this machine, are
// recognised only if both have the same text.
bool LeadsTo(const Address& target, const Address& listen);

// True for a pattern of MethodPolicy (tether/grpc/policy.h): "/service/method",
// "/service/*" or "*".
bool IsMethodPattern(std::string_view pattern);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_ADDRESS_H_
