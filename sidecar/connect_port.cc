// SPDX-License-Identifier: Apache-2.0

#include "sidecar/connect_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iostream>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sidecar/connect_request.h"

namespace tether::sidecar {
namespace {

// How long to wait if the process has no file descriptor left.
constexpr std::chrono::milliseconds kPause(100);

constexpr std::chrono::seconds kPrintEvery(1);

bool SendAll(int socket, std::string_view text) {
  // A new connection's buffer holds more than any answer.
  return send(socket, text.data(), text.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(text.size());
}

// What has come and wasn't read would make the kernel reset the connection, and
// drop the answer.
void CloseGently(int socket) {
  shutdown(socket, SHUT_WR);
  char bytes[4096];
  for (int i = 0; i < 16 && recv(socket, bytes, sizeof bytes, 0) > 0; ++i) {
  }
  close(socket);
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return 0;
  }
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// -1, and errno, if it can't listen. `port` replaces that of `address`.
int ListenOn(const addrinfo& address, int port) {
  sockaddr_storage name{};
  std::memcpy(&name, address.ai_addr, address.ai_addrlen);
  if (name.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&name)->sin6_port =
        htons(static_cast<uint16_t>(port));
  } else {
    reinterpret_cast<sockaddr_in*>(&name)->sin_port =
        htons(static_cast<uint16_t>(port));
  }
  const int listening =
      socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listening < 0) return -1;
  const int on = 1;
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listening, reinterpret_cast<sockaddr*>(&name), address.ai_addrlen) !=
          0 ||
      listen(listening, SOMAXCONN) != 0) {
    const int error = errno;
    close(listening);
    errno = error;
    return -1;
  }
  return listening;
}

// Whether it is also one before it: a host may have several lines in
// /etc/hosts.
bool CameBefore(const addrinfo& address, const addrinfo* first) {
  for (const addrinfo* one = first; one != &address; one = one->ai_next) {
    if (one->ai_addrlen == address.ai_addrlen &&
        std::memcmp(one->ai_addr, address.ai_addr, one->ai_addrlen) == 0) {
      return true;
    }
  }
  return false;
}

// On each address of the host that this machine has. All have one port. None if
// it can't listen on any, or if the port of one is taken: clients that take
// that address would reach another program.
std::vector<int> ListenOn(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  std::vector<int> listening;
  if (getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(),
                  &hints, &found) != 0) {
    return listening;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> freed(found,
                                                                 freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (CameBefore(*one, found)) continue;
    const int socket =
        ListenOn(*one, listening.empty() ? address.port : PortOf(listening[0]));
    if (socket >= 0) {
      listening.push_back(socket);
    } else if (errno == EADDRINUSE) {
      for (const int other : listening) close(other);
      return {};
    }
  }
  return listening;
}

// Rounded up, for poll(); at most a minute.
int MillisecondsUntil(std::chrono::steady_clock::time_point time) {
  using std::chrono::milliseconds;
  const auto left =
      std::chrono::ceil<milliseconds>(time - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectPort>> ConnectPort::Listen(
    const std::string& address, Serve serve, absl::Duration patience) {
  const auto parsed = ParseAddress(address);
  std::vector<int> listening;
  if (parsed.ok() && IsIpOrLocalhost(*parsed)) listening = ListenOn(*parsed);
  const int wake = listening.empty() ? -1 : eventfd(0, EFD_CLOEXEC);
  if (wake < 0) {
    for (const int socket : listening) close(socket);
    return absl::UnavailableError(absl::StrCat("can't listen on ", address));
  }
  return std::unique_ptr<ConnectPort>(new ConnectPort(
      listening, wake, PortOf(listening[0]), std::move(serve), patience));
}

ConnectPort::ConnectPort(std::vector<int> listening, int wake, int port,
                         Serve serve, absl::Duration patience)
    : listening_(std::move(listening)),
      wake_(wake),
      port_(port),
      serve_(std::move(serve)),
      patience_(absl::ToChronoNanoseconds(patience)) {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "sidecar-connect");
}

ConnectPort::~ConnectPort() {
  Stop();
  close(wake_);
}

void ConnectPort::Stop() {
  if (!thread_.joinable()) return;
  eventfd_write(wake_, 1);
  thread_.join();
}

bool ConnectPort::Confirm(int socket) {
  return SendAll(socket, "HTTP/1.1 200 Connection established\r\n\r\n");
}

void ConnectPort::Run() {
  std::vector<bool> ready;
  bool has_new = false;
  while (Wait(ready, has_new)) {
    const Clock::time_point now = Clock::now();
    std::vector<Client> waiting;
    for (size_t i = 0; i < clients_.size(); ++i) {
      Client& client = clients_[i];
      if (ready[i] && Read(client)) continue;
      if (client.limit <= now) {
        Refuse(client.socket, "408 Request Timeout", "no request came");
        continue;
      }
      waiting.push_back(std::move(client));
    }
    clients_ = std::move(waiting);
    if (has_new) AcceptAll();
  }
  for (const Client& client : clients_) close(client.socket);
  clients_.clear();
  for (const int listening : listening_) close(listening);
}

bool ConnectPort::Wait(std::vector<bool>& ready, bool& has_new) const {
  std::vector<pollfd> sockets;
  Clock::time_point until = Clock::time_point::max();
  for (const Client& client : clients_) {
    sockets.push_back({client.socket, POLLIN, 0});
    until = std::min(until, client.limit);
  }
  const bool pauses = accepts_again_ > Clock::now();
  if (pauses) until = std::min(until, accepts_again_);
  const bool accepts = !pauses && clients_.size() < kMostWaiting;
  for (const int listening : listening_) {
    sockets.push_back({accepts ? listening : -1, POLLIN, 0});
  }
  sockets.push_back({wake_, POLLIN, 0});
  const bool forever = until == Clock::time_point::max();
  const int count = poll(sockets.data(), sockets.size(),
                         forever ? -1 : MillisecondsUntil(until));
  if (count < 0) {  // interrupted: look again
    for (pollfd& one : sockets) one.revents = 0;
  }
  ready.clear();
  for (size_t i = 0; i < clients_.size(); ++i) {
    ready.push_back(sockets[i].revents != 0);
  }
  has_new = std::any_of(sockets.begin() + static_cast<int>(clients_.size()),
                        sockets.end() - 1,
                        [](const pollfd& one) { return one.revents != 0; });
  return sockets.back().revents == 0;
}

void ConnectPort::AcceptAll() {
  for (const int listening : listening_) AcceptAll(listening);
}

void ConnectPort::AcceptAll(int listening) {
  while (clients_.size() < kMostWaiting) {
    const int socket =
        accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) accepts_again_ = Clock::now() + kPause;
      return;
    }
    // As gRPC does with the sockets that it accepts.
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients_.push_back({socket, Clock::now() + patience_, ""});
  }
}

bool ConnectPort::Read(Client& client) {
  char bytes[1024];
  const ssize_t count = recv(client.socket, bytes, sizeof bytes, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    close(client.socket);
    return true;
  }
  client.received.append(bytes, static_cast<size_t>(count));
  const auto target = ReadConnectRequest(client.received);
  if (!target.ok()) {
    Refuse(client.socket, "400 Bad Request",
           std::string(target.status().message()));
    return true;
  }
  if (!target->has_value()) return false;
  const absl::Status status = serve_(**target, client.socket);
  if (status.ok()) {
    served_.fetch_add(1, std::memory_order_relaxed);
  } else {
    Refuse(client.socket, "403 Forbidden", std::string(status.message()));
  }
  return true;
}

void ConnectPort::Refuse(int socket, const char* status,
                         const std::string& text) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  SendAll(socket, RefusalOfConnect(status, "tether-sidecar: " + text));
  CloseGently(socket);
  const Clock::time_point now = Clock::now();
  if (now < prints_again_) return;
  prints_again_ = now + kPrintEvery;
  std::cerr << "connect: refused: " << text << std::endl;
}

}  // namespace tether::sidecar
