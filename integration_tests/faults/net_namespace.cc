// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/net_namespace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"

namespace tether::faults {
namespace {

absl::Status Failed(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(errno)));
}

ifreq Request(const std::string& device) {
  ifreq request = {};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

// On the calling thread's namespace, as the functions below.
absl::Status SetFlag(const std::string& device, bool up) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed("socket");
  ifreq request = Request(device);
  absl::Status status;
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
    status = Failed("SIOCGIFFLAGS");
  } else {
    if (up) {
      request.ifr_flags |= IFF_UP;
    } else {
      request.ifr_flags &= ~IFF_UP;
    }
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) status = Failed("SIOCSIFFLAGS");
  }
  close(fd);
  return status;
}

absl::Status SetAddress(const std::string& device, const std::string& address) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed("socket");
  absl::Status status;
  const auto set = [&](unsigned long what, const std::string& value) {
    ifreq request = Request(device);
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    inet_pton(AF_INET, value.c_str(), &in.sin_addr);
    memcpy(&request.ifr_addr, &in, sizeof(in));
    if (ioctl(fd, what, &request) != 0) status.Update(Failed(value));
  };
  set(SIOCSIFADDR, address);
  set(SIOCSIFNETMASK, "255.255.255.0");
  close(fd);
  return status;
}

absl::StatusOr<int> OpenTun(const std::string& name,
                            const std::string& address) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) return Failed("/dev/net/tun");
  ifreq request = Request(name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  absl::Status status;
  if (ioctl(fd, TUNSETIFF, &request) != 0) status = Failed("TUNSETIFF");
  if (status.ok()) status = SetAddress(name, address);
  if (status.ok()) status = SetFlag(name, true);
  if (status.ok()) return fd;
  close(fd);
  return status;
}

}  // namespace

absl::StatusOr<NetNamespace> NetNamespace::MoveThisThread() {
  if (unshare(CLONE_NEWNET) != 0) return Failed("unshare(CLONE_NEWNET)");
  const int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("/proc/thread-self/ns/net");
  NetNamespace made(fd);
  if (absl::Status up = SetFlag("lo", true); !up.ok()) return up;
  return made;
}

absl::StatusOr<NetNamespace> NetNamespace::MoveThisProcess() {
  return MoveThisThread();
}

absl::StatusOr<NetNamespace> NetNamespace::Make() {
  absl::StatusOr<NetNamespace> made = absl::UnknownError("");
  std::thread([&] { made = MoveThisThread(); }).join();
  return made;
}

NetNamespace::~NetNamespace() {
  if (fd_ >= 0) close(fd_);
}

std::string NetNamespace::path() const {
  return absl::StrCat("/proc/", getpid(), "/fd/", fd_);
}

void NetNamespace::Run(const std::function<void()>& work) const {
  std::thread([&] {
    if (setns(fd_, CLONE_NEWNET) == 0) work();
  }).join();
}

absl::StatusOr<int> NetNamespace::MakeTun(const std::string& name,
                                          const std::string& address) const {
  absl::StatusOr<int> fd = absl::UnavailableError("setns");
  Run([&] { fd = OpenTun(name, address); });
  return fd;
}

absl::Status NetNamespace::SetUp(const std::string& device, bool up) const {
  absl::Status status = absl::UnavailableError("setns");
  Run([&] { status = SetFlag(device, up); });
  return status;
}

absl::Status EnterNetNamespace(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed(path);
  const absl::Status status =
      setns(fd, CLONE_NEWNET) == 0 ? absl::OkStatus() : Failed("setns");
  close(fd);
  return status;
}

}  // namespace tether::faults
