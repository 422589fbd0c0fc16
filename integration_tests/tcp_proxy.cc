#include "integration_tests/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace tether {
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

// Passes on what there is to read; false when the connection is over.
bool Forward(int from, int to) {
  char buffer[16384];
  ssize_t count = recv(from, buffer, sizeof buffer, 0);
  if (count <= 0) return false;
  for (const char* at = buffer; count > 0;) {
    const ssize_t sent = send(to, at, static_cast<size_t>(count), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    count -= sent;
  }
  return true;
}

void ResetOnClose(int fd) {
  const linger now = {/*l_onoff=*/1, /*l_linger=*/0};
  Check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), "SO_LINGER");
}

}  // namespace

TcpProxy::TcpProxy(const std::string& target)
    : target_port_(std::stoi(target.substr(target.rfind(':') + 1))) {
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

void TcpProxy::Cut(How how) {
  const char byte = static_cast<char>(how);
  Check(write(wake_write_, &byte, 1) == 1 ? 0 : -1, "write");
}

void TcpProxy::Run() {
  How how;
  for (;;) {
    std::vector<pollfd> fds = {{wake_read_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Connection& c : connections_) {
      fds.push_back({c.client, POLLIN, 0});
      fds.push_back({c.server, POLLIN, 0});
    }
    Check(poll(fds.data(), fds.size(), -1), "poll");
    if (fds[0].revents != 0) {
      char byte;
      Check(read(wake_read_, &byte, 1) == 1 ? 0 : -1, "read");
      how = static_cast<How>(byte);
      if (how != How::kHalfClose) break;
      for (const Connection& c : connections_) shutdown(c.server, SHUT_WR);
      continue;
    }
    std::vector<Connection> open;
    for (size_t i = 0; i < connections_.size(); ++i) {
      const Connection c = connections_[i];
      const bool over =
          (fds[2 + 2 * i].revents != 0 && !Forward(c.client, c.server)) ||
          (fds[3 + 2 * i].revents != 0 && !Forward(c.server, c.client));
      if (over) {
        close(c.client);
        close(c.server);
      } else {
        open.push_back(c);
      }
    }
    connections_ = open;
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
      connections_.push_back(c);
    }
  }
  close(listener_);
  for (const Connection& c : connections_) {
    if (how == How::kReset) {
      ResetOnClose(c.client);
      ResetOnClose(c.server);
    }
    close(c.client);
    close(c.server);
  }
}

}  // namespace tether
