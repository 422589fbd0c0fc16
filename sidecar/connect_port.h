// SPDX-License-Identifier: Apache-2.0
//
// A port for apps that are told of an HTTP proxy.

#ifndef TETHER_SIDECAR_CONNECT_PORT_H_
#define TETHER_SIDECAR_CONNECT_PORT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidecar/address.h"

namespace tether::sidecar {

// Takes connections, reads the CONNECT request with which each begins, and
// gives the connection to whatever serves the request's target. What comes
// after the request's answer, it doesn't see: no byte is copied.
//
// A client that sends no whole request within `patience` is disconnected. At
// most kMostWaiting are read from at once; further ones wait to be accepted.
// gRPC's clients don't show the text of a refusal, so it is also printed to
// standard error, once a second at most.
//
// Thread safety: any thread, but for Stop and the destructor, which are for
// one. It has a thread of its own.
class ConnectPort {
 public:
  static constexpr absl::Duration kPatience = absl::Seconds(10);
  static constexpr size_t kMostWaiting = 256;

  // Serves connections to one target. If it returns OK, it owns `socket`, and
  // has called Confirm; otherwise the message is for the client. The socket
  // doesn't block.
  using Serve = std::function<absl::Status(const Address& target, int socket)>;

  // Listens on "host:port", where the host is an IP address or "localhost", on
  // all addresses that it has. The message of an error says which address it
  // is. `serve` runs on the port's thread.
  static absl::StatusOr<std::unique_ptr<ConnectPort>> Listen(
      const std::string& address, Serve serve,
      absl::Duration patience = kPatience);

  // Tells the client that it is connected to its target. False if the
  // connection is broken.
  static bool Confirm(int socket);

  // Calls Stop.
  ~ConnectPort();
  ConnectPort(const ConnectPort&) = delete;
  ConnectPort& operator=(const ConnectPort&) = delete;

  // Takes no more connections, and closes those whose request isn't complete.
  void Stop();

  int port() const { return port_; }

  // Connections that were given away, and those that were refused or gave up.
  int64_t served() const { return served_.load(std::memory_order_relaxed); }
  int64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  struct Client {
    int socket;
    Clock::time_point limit;
    std::string received;
  };

  ConnectPort(std::vector<int> listening, int wake, int port, Serve serve,
              absl::Duration patience);

  void Run();
  // Waits until a socket is ready. Returns false if it is time to stop.
  bool Wait(std::vector<bool>& ready, bool& has_new) const;
  void AcceptAll();
  void AcceptAll(int listening);
  // Returns true if it is done with the client, whose socket is then closed or
  // given away.
  bool Read(Client& client);
  void Refuse(int socket, const char* status, const std::string& text);

  const std::vector<int> listening_;
  const int wake_;  // an eventfd
  const int port_;
  const Serve serve_;
  const Clock::duration patience_;
  std::vector<Client> clients_;
  // No socket is accepted before, since the process had none left.
  Clock::time_point accepts_again_ = Clock::time_point::min();
  Clock::time_point prints_again_ = Clock::time_point::min();
  std::atomic<int64_t> served_{0};
  std::atomic<int64_t> refused_{0};
  std::thread thread_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONNECT_PORT_H_
