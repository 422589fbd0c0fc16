// SPDX-License-Identifier: Apache-2.0
//
// TCP connections that never say anything.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_QUIET_CONNECTIONS_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_QUIET_CONNECTIONS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tether::faults {

// Thread safety: none.
class QuietConnections {
 public:
  ~QuietConnections();

  // Begins `count` more connections, from this process's namespace.
  void Open(int count, const std::string& address, int port);

  // The number that is established, or `count` as soon as there are so many.
  // Waits for `timeout`.
  int Established(int count, absl::Duration timeout) const;

  // The number that the peer has closed. Waits like Established.
  int ClosedByPeer(int count, absl::Duration timeout) const;

 private:
  int Count(short events, int count, absl::Duration timeout) const;

  std::vector<int> sockets_;
};

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_QUIET_CONNECTIONS_H_
