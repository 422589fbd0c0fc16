// A TCP proxy on loopback, to cut the connections of others, and to slow them
// down.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_TCP_PROXY_H_
#define TETHER_INTEGRATION_TESTS_TCP_PROXY_H_

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace tether {

// Passes on all that comes, in both directions, on one thread of its own, until
// Cut or the destructor. Each byte is `delay` late.
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

  // From now on passes nothing on, and keeps the connections: a network that is
  // gone without a word. For good, but for Cut. Returns at once.
  void Stall();

 private:
  // What waits for its time, one way.
  struct Bytes {
    absl::Time due;
    int to;
    std::string bytes;
  };
  struct Connection {
    int client;
    int server;
    std::deque<Bytes> late;  // in the order of their times
  };

  void Tell(char byte);
  void Run();
  // What there is to read on one side of `connection`; false when it is over.
  bool Take(int from, int to, Connection& connection);
  // Sends what is due. False when the connection is over.
  static bool SendDue(Connection& connection);
  // Milliseconds until something is due; -1: nothing is.
  int UntilDue() const;

  const absl::Duration delay_;
  int target_port_ = 0;
  int listener_ = -1;
  int wake_read_ = -1;
  int wake_write_ = -1;
  std::string address_;
  std::vector<Connection> connections_;  // of thread_
  std::thread thread_;
};

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_TCP_PROXY_H_
