// SPDX-License-Identifier: Apache-2.0

#ifndef TETHER_SIDECAR_CONNECT_REQUEST_H_
#define TETHER_SIDECAR_CONNECT_REQUEST_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sidecar/address.h"

namespace tether::sidecar {

// A longer request is an error.
inline constexpr size_t kLongestConnectRequest = 8 << 10;

// Reads the request by which a client asks an HTTP proxy for a connection to
// the host and port in it (RFC 9110, section 9.3.6):
//
//   CONNECT orders:443 HTTP/1.1
//   Host: orders:443
//   User-Agent: grpc-node-js/1.14.7
//
// `received`: all bytes of the connection. Returns nullopt if they are its
// beginning. Its headers have no meaning here. An error says what is wrong, in
// printable ASCII. It is an error if bytes follow the request, since the client
// must wait for the answer.
absl::StatusOr<std::optional<Address>> ReadConnectRequest(
    std::string_view received);

// An answer to it that refuses it. `status`: "403 Forbidden".
std::string RefusalOfConnect(std::string_view status, std::string_view text);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONNECT_REQUEST_H_
