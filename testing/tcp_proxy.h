// SPDX-License-Identifier: Apache-2.0
//
// A TCP proxy on loopback that delays and cuts connections.
//
// For tests only.

#ifndef TETHER_TESTING_TCP_PROXY_H_
#define TETHER_TESTING_TCP_PROXY_H_

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace tether::testing {

// Forwards all bytes in both directions, on one thread of its own, until Cut or
// the destructor. Each byte arrives `delay` late.
//
// Thread safety: any thread.
class TcpProxy {
 public:
  // `target`: "127.0.0.1:port".
  explicit TcpProxy(const std::string& target,
                    absl::Duration delay = absl::ZeroDuration());
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  const std::string& address() const { return address_; }

  enum class How : char {
    kReset,      // RST to both sides
    kClose,      // FIN to both sides, as when a process is killed
    kHalfClose,  // FIN to the server only
  };
  // Cuts all connections, and accepts no more. Returns at once.
  void Cut(How how);

  // Resets all connections, and goes on accepting new ones. Returns at once.
  void ResetConnections();

  // Stops forwarding but keeps the connections open, like a network that fails
  // silently. Only Cut and Resume end it. Both return at once.
  void Stall();
  void Resume();

 private:
  // Delayed bytes on their way to the socket `to`.
  struct Bytes {
    absl::Time due;
    int to;
    std::string bytes;
  };
  struct Connection {
    int client;
    int server;
    std::deque<Bytes> late;  // sorted by `due`
  };

  void Tell(char byte);
  // Does what Tell told. Returns false if that was Cut.
  bool Obey(char byte);
  // Closes all connections, with RST if `reset`.
  void CloseConnections(bool reset);
  void Run();
  // Reads what has arrived from `from`. False when the connection is over.
  bool Take(int from, int to, Connection& connection);
  // Sends the bytes that are due. False when the connection is over.
  static bool SendDue(Connection& connection);
  // Milliseconds until bytes are due; -1 if none are waiting.
  int UntilDue() const;

  const absl::Duration delay_;
  int target_port_ = 0;
  int listener_ = -1;
  int wake_read_ = -1;
  int wake_write_ = -1;
  std::string address_;
  std::vector<Connection> connections_;  // used by thread_ only
  bool stalled_ = false;                 // used by thread_ only
  std::thread thread_;
};

}  // namespace tether::testing

#endif  // TETHER_TESTING_TCP_PROXY_H_
