// SPDX-License-Identifier: Apache-2.0
//
// Network namespaces, and TUN devices in them.
//
// For tests only. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN. Nothing is left of a
// namespace or a device when the process ends, however it does: neither has a
// name in the file system.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_NET_NAMESPACE_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_NET_NAMESPACE_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tether::faults {

// A network namespace, with its loopback interface up.
class NetNamespace {
 public:
  // Moves the process to a new namespace. The process must have one thread.
  static absl::StatusOr<NetNamespace> MoveThisProcess();
  // Makes a new namespace. The process stays where it is.
  static absl::StatusOr<NetNamespace> Make();

  NetNamespace(NetNamespace&& other) noexcept : fd_(other.fd_) {
    other.fd_ = -1;
  }
  NetNamespace& operator=(NetNamespace&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~NetNamespace();

  // The file to open for setns(2), also in a child process.
  std::string path() const;

  // Runs `work` on a new thread in the namespace, and waits for it.
  void Run(const std::function<void()>& work) const;

  // Makes a TUN device with an IPv4 address in a network of 256, and brings it
  // up. Returns its descriptor, from which the sent packets are read. The
  // device vanishes when it is closed.
  absl::StatusOr<int> MakeTun(const std::string& name,
                              const std::string& address) const;

  // Brings a device up or down.
  absl::Status SetUp(const std::string& device, bool up) const;

 private:
  explicit NetNamespace(int fd) : fd_(fd) {}
  static absl::StatusOr<NetNamespace> MoveThisThread();

  int fd_;
};

// Moves the calling thread into the namespace of `path`. A child process calls
// it before it starts threads.
absl::Status EnterNetNamespace(const std::string& path);

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_NET_NAMESPACE_H_
