// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/quiet_connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "absl/time/clock.h"

namespace tether::faults {

QuietConnections::~QuietConnections() {
  for (const int fd : sockets_) close(fd);
}

void QuietConnections::Open(int count, const std::string& address, int port) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  for (int i = 0; i < count; ++i) {
    const int fd =
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockets_.push_back(fd);
    // It goes on in the background.
    static_cast<void>(
        connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)));
  }
}

int QuietConnections::Established(int count, absl::Duration timeout) const {
  return Count(POLLOUT, count, timeout);
}

int QuietConnections::ClosedByPeer(int count, absl::Duration timeout) const {
  return Count(POLLRDHUP, count, timeout);
}

int QuietConnections::Count(short events, int count,
                            absl::Duration timeout) const {
  const absl::Time end = absl::Now() + timeout;
  for (;;) {
    int found = 0;
    for (const int fd : sockets_) {
      pollfd ready = {fd, events, 0};
      if (poll(&ready, 1, 0) == 1 && (ready.revents & events) != 0) ++found;
    }
    if (found >= count || absl::Now() > end) return found;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

}  // namespace tether::faults
