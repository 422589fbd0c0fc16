// SPDX-License-Identifier: Apache-2.0

#include "sidecar/connect_request.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tether::sidecar {
namespace {

constexpr std::string_view kMethod = "CONNECT ";
constexpr std::string_view kEnd = "\r\n\r\n";

absl::Status Bad(std::string_view text) {
  return absl::InvalidArgumentError({text.data(), text.size()});
}

bool IsVersion(std::string_view text) {
  return text == "HTTP/1.1" || text == "HTTP/1.0";
}

}  // namespace

absl::StatusOr<std::optional<Address>> ReadConnectRequest(
    std::string_view received) {
  const size_t compared = std::min(received.size(), kMethod.size());
  if (received.substr(0, compared) != kMethod.substr(0, compared)) {
    return Bad("this port takes only CONNECT requests of HTTP/1.1");
  }
  const size_t end = received.find(kEnd);
  if (end == received.npos || end + kEnd.size() > kLongestConnectRequest) {
    if (received.size() >= kLongestConnectRequest) {
      return Bad("the request is too long");
    }
    return std::nullopt;
  }
  if (received.size() != end + kEnd.size()) {
    return Bad("bytes follow the request before its answer");
  }
  std::string_view line = received.substr(0, received.find("\r\n"));
  line.remove_prefix(kMethod.size());
  const size_t space = line.find(' ');
  if (space == line.npos || !IsVersion(line.substr(space + 1))) {
    return Bad("the first line is not CONNECT host:port HTTP/1.1");
  }
  const auto address = ParseAddress(line.substr(0, space));
  // A host "UNIX" would be the beginning of a socket's name in lower case.
  if (!address.ok() || !address->path.empty() || address->port == 0 ||
      address->host == "unix") {
    return Bad("the target is not host:port");
  }
  return *address;
}

std::string RefusalOfConnect(std::string_view status, std::string_view text) {
  const auto view = [](std::string_view s) {
    return absl::string_view(s.data(), s.size());
  };
  return absl::StrCat(
      "HTTP/1.1 ", view(status),
      "\r\nContent-Type: text/plain\r\nContent-Length: ", text.size() + 1,
      "\r\nConnection: close\r\n\r\n", view(text), "\n");
}

}  // namespace tether::sidecar
