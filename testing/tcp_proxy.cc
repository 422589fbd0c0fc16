// SPDX-License-Identifier: Apache-2.0

#include "testing/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"

namespace tether::testing {
namespace {

int Check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::abort();
  }
  return result;
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void SetNoDelay(int fd) {
  const int on = 1;
  Check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on),
        "TCP_NODELAY");
}

constexpr char kStall = 'S';
constexpr char kResume = 'R';
constexpr char kResetConnections = 'C';

bool Send(int to, const char* bytes, size_t count) {
  while (count > 0) {
    const ssize_t sent = send(to, bytes, count, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    count -= static_cast<size_t>(sent);
  }
  return true;
}

void ResetOnClose(int fd) {
  const linger now = {/*l_onoff=*/1, /*l_linger=*/0};
  Check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), "SO_LINGER");
}

}  // namespace

TcpProxy::TcpProxy(const std::string& target, absl::Duration delay)
    : delay_(delay),
      target_port_(std::stoi(target.substr(target.rfind(':') + 1))) {
  listener_ = Check(socket(AF_INET, SOCK_STREAM, 0), "socket");
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof address;
  Check(bind(listener_, reinterpret_cast<sockaddr*>(&address), length), "bind");
  Check(listen(listener_, 16), "listen");
  Check(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length),
        "getsockname");
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  int ends[2];
  Check(pipe(ends), "pipe");
  wake_read_ = ends[0];
  wake_write_ = ends[1];
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  Cut(How::kClose);
  thread_.join();
  close(wake_read_);
  close(wake_write_);
}

void TcpProxy::Cut(How how) { Tell(static_cast<char>(how)); }

void TcpProxy::ResetConnections() { Tell(kResetConnections); }

void TcpProxy::Stall() { Tell(kStall); }

void TcpProxy::Resume() { Tell(kResume); }

void TcpProxy::Tell(char byte) {
  Check(write(wake_write_, &byte, 1) == 1 ? 0 : -1, "write");
}

bool TcpProxy::Take(int from, int to, Connection& connection) {
  char buffer[16384];
  const ssize_t count = recv(from, buffer, sizeof buffer, 0);
  if (count <= 0) return false;
  if (delay_ <= absl::ZeroDuration()) {
    return Send(to, buffer, static_cast<size_t>(count));
  }
  connection.late.push_back({absl::Now() + delay_, to,
                             std::string(buffer, static_cast<size_t>(count))});
  return true;
}

bool TcpProxy::SendDue(Connection& connection) {
  std::deque<Bytes>& late = connection.late;
  for (; !late.empty() && late.front().due <= absl::Now(); late.pop_front()) {
    const Bytes& next = late.front();
    if (!Send(next.to, next.bytes.data(), next.bytes.size())) return false;
  }
  return true;
}

int TcpProxy::UntilDue() const {
  absl::Time first = absl::InfiniteFuture();
  for (const Connection& c : connections_) {
    if (!c.late.empty()) first = std::min(first, c.late.front().due);
  }
  if (first == absl::InfiniteFuture()) return -1;
  return static_cast<int>(
      std::max<int64_t>(0, absl::ToInt64Milliseconds(first - absl::Now()) + 1));
}

bool TcpProxy::Obey(char byte) {
  switch (byte) {
    case kStall:
    case kResume:
      stalled_ = byte == kStall;
      return true;
    case kResetConnections:
      CloseConnections(/*reset=*/true);
      return true;
    case static_cast<char>(How::kHalfClose):
      for (const Connection& c : connections_) shutdown(c.server, SHUT_WR);
      return true;
    default:
      close(listener_);
      CloseConnections(byte == static_cast<char>(How::kReset));
      return false;
  }
}

void TcpProxy::CloseConnections(bool reset) {
  for (const Connection& c : connections_) {
    if (reset) {
      ResetOnClose(c.client);
      ResetOnClose(c.server);
    }
    close(c.client);
    close(c.server);
  }
  connections_.clear();
}

void TcpProxy::Run() {
  for (;;) {
    std::vector<pollfd> fds = {{wake_read_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Connection& c : connections_) {
      // A stalled proxy doesn't read: the bytes stay in the peers' buffers.
      fds.push_back({stalled_ ? -1 : c.client, POLLIN, 0});
      fds.push_back({stalled_ ? -1 : c.server, POLLIN, 0});
    }
    Check(poll(fds.data(), fds.size(), stalled_ ? -1 : UntilDue()), "poll");
    if (fds[0].revents != 0) {
      char byte;
      Check(read(wake_read_, &byte, 1) == 1 ? 0 : -1, "read");
      if (!Obey(byte)) return;
      continue;
    }
    std::vector<Connection> open;
    for (size_t i = 0; i < connections_.size(); ++i) {
      Connection& c = connections_[i];
      const bool over =
          (fds[2 + 2 * i].revents != 0 && !Take(c.client, c.server, c)) ||
          (fds[3 + 2 * i].revents != 0 && !Take(c.server, c.client, c)) ||
          (!stalled_ && !SendDue(c));
      if (over) {
        close(c.client);
        close(c.server);
      } else {
        open.push_back(std::move(c));
      }
    }
    connections_ = std::move(open);
    if (fds[1].revents != 0) {
      Connection c;
      c.client = Check(accept(listener_, nullptr, nullptr), "accept");
      c.server = Check(socket(AF_INET, SOCK_STREAM, 0), "socket");
      const sockaddr_in address = Loopback(target_port_);
      if (connect(c.server, reinterpret_cast<const sockaddr*>(&address),
                  sizeof address) != 0) {
        close(c.client);
        close(c.server);
        continue;
      }
      SetNoDelay(c.client);
      SetNoDelay(c.server);
      connections_.push_back(std::move(c));
    }
  }
}

}  // namespace tether::testing
