// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/testing/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tether::testing {
namespace {

// Longer than any answer takes on a loaded machine.
constexpr absl::Duration kPatience = absl::Seconds(60);

HttpReply Parse(const std::string& text) {
  HttpReply reply;
  const size_t end = text.find("\r\n\r\n");
  if (!absl::StartsWith(text, "HTTP/1.") || end == std::string::npos) {
    return reply;
  }
  const std::vector<std::string> lines =
      absl::StrSplit(text.substr(0, end), "\r\n");
  if (!absl::SimpleAtoi(lines[0].substr(9, 3), &reply.code)) return reply;
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(": ");
    if (colon == std::string::npos) continue;
    reply.headers[absl::AsciiStrToLower(lines[i].substr(0, colon))] =
        lines[i].substr(colon + 2);
  }
  reply.body = text.substr(end + 4);
  return reply;
}

}  // namespace

HttpConnection::HttpConnection(int port) {
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    close(socket_);
    socket_ = -1;
  }
}

HttpConnection::~HttpConnection() {
  if (socket_ >= 0) close(socket_);
}

bool HttpConnection::Send(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string HttpConnection::Receive(size_t max_size, absl::Duration patience) {
  pollfd wait = {socket_, POLLIN, 0};
  const auto timeout = static_cast<int>(absl::ToInt64Milliseconds(patience));
  if (socket_ < 0 || poll(&wait, 1, timeout) <= 0) return "";
  std::string text(max_size, '\0');
  const ssize_t size = recv(socket_, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

HttpReply HttpConnection::ReadReply() {
  std::string text;
  for (std::string part; !(part = Receive(1 << 16, kPatience)).empty();) {
    text += part;
  }
  return Parse(text);
}

HttpReply Http(int port, absl::string_view method, absl::string_view target,
               absl::string_view host, absl::string_view headers) {
  HttpConnection connection(port);
  connection.Send(absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: ", host,
                               "\r\n", headers, "\r\n"));
  return connection.ReadReply();
}

}  // namespace tether::testing
