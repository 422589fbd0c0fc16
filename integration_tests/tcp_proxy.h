// A TCP proxy on loopback, to cut the connections of others.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_TCP_PROXY_H_
#define TETHER_INTEGRATION_TESTS_TCP_PROXY_H_

#include <string>
#include <thread>
#include <vector>

namespace tether {

// Passes on all that comes, in both directions, on one thread of its own, until
// Cut or the destructor.
//
// Thread safety: any thread.
class TcpProxy {
 public:
  // `target`: "127.0.0.1:port".
  explicit TcpProxy(const std::string& target);
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

 private:
  struct Connection {
    int client;
    int server;
  };

  void Run();

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
