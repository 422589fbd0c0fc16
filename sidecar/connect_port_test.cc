// SPDX-License-Identifier: Apache-2.0
//
// Clients that behave well and badly, over plain sockets.

#include "sidecar/connect_port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sidecar/address.h"
#include "testing/temp_folder.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using tether::testing::kGiveUp;

constexpr char kRequest[] = "CONNECT orders:443 HTTP/1.1\r\n\r\n";

class Client {
 public:
  Client() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  explicit Client(int port) : Client() { Connect(port); }
  ~Client() { close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Connect(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(
        connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address),
        0);
  }

  void Send(const std::string& text) {
    ASSERT_EQ(send(socket_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  // All that comes until the connection ends.
  std::string ReceiveAll() {
    std::string all;
    char bytes[512];
    for (;;) {
      pollfd one{socket_, POLLIN, 0};
      if (poll(&one, 1, static_cast<int>(kGiveUp / absl::Milliseconds(1))) <=
          0) {
        ADD_FAILURE() << "the connection doesn't end; received: " << all;
        return all;
      }
      const ssize_t count = recv(socket_, bytes, sizeof bytes, 0);
      if (count <= 0) return all;
      all.append(bytes, static_cast<size_t>(count));
    }
  }

 private:
  const int socket_;
};

class ConnectPortTest : public ::testing::Test {
 protected:
  // Serves orders:443 by saying "served", and ending the connection.
  void Listen(absl::Duration patience = ConnectPort::kPatience) {
    auto port = ConnectPort::Listen(
        "127.0.0.1:0",
        [](const Address& target, int socket) -> absl::Status {
          if (target.ToString() != "orders:443") {
            return absl::NotFoundError("no such target");
          }
          if (!ConnectPort::Confirm(socket)) {
            return absl::UnavailableError("broken");
          }
          EXPECT_NE(fcntl(socket, F_GETFL) & O_NONBLOCK, 0);
          EXPECT_EQ(send(socket, "served", 6, MSG_NOSIGNAL), 6);
          close(socket);
          return absl::OkStatus();
        },
        patience);
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *std::move(port);
  }

  void WaitForRefused(int64_t count) {
    const absl::Time limit = absl::Now() + kGiveUp;
    while (port_->refused() != count && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(port_->refused(), count);
  }

  std::unique_ptr<ConnectPort> port_;
};

TEST_F(ConnectPortTest, AConnectionIsGivenAway) {
  Listen();
  Client client(port_->port());
  client.Send(kRequest);
  EXPECT_EQ(client.ReceiveAll(),
            "HTTP/1.1 200 Connection established\r\n\r\nserved");
  // It counts a moment after the client has its answer.
  const absl::Time limit = absl::Now() + kGiveUp;
  while (port_->served() == 0 && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(port_->served(), 1);
  EXPECT_EQ(port_->refused(), 0);
}

TEST_F(ConnectPortTest, ARequestMayComeInPieces) {
  Listen();
  Client client(port_->port());
  for (const char c : std::string(kRequest)) {
    client.Send(std::string(1, c));
    absl::SleepFor(absl::Microseconds(200));
  }
  EXPECT_THAT(client.ReceiveAll(), HasSubstr("served"));
}

TEST_F(ConnectPortTest, AClientLearnsWhatIsWrong) {
  Listen();
  Client other(port_->port());
  other.Send("CONNECT payments:443 HTTP/1.1\r\n\r\n");
  const std::string answer = other.ReceiveAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_THAT(answer, HasSubstr("tether-sidecar: no such target\n"));

  Client direct(port_->port());
  direct.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_THAT(direct.ReceiveAll(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_EQ(port_->served(), 0);
  EXPECT_EQ(port_->refused(), 2);
}

TEST_F(ConnectPortTest, ClientsThatLeaveAreForgotten) {
  Listen();
  { Client client(port_->port()); }
  {
    Client client(port_->port());
    client.Send("CONNECT ord");
  }
  WaitForRefused(2);
  Client client(port_->port());
  client.Send(kRequest);
  EXPECT_THAT(client.ReceiveAll(), HasSubstr("served"));
}

// Real time: a client must wait for the others' patience to end.
TEST_F(ConnectPortTest, SilentClientsDontKeepOthersOut) {
  Listen(absl::Milliseconds(300));
  std::vector<std::unique_ptr<Client>> silent;
  for (size_t i = 0; i < ConnectPort::kMostWaiting; ++i) {
    silent.push_back(std::make_unique<Client>(port_->port()));
  }
  Client client(port_->port());
  client.Send(kRequest);
  EXPECT_THAT(client.ReceiveAll(), HasSubstr("served"));
  EXPECT_THAT(silent[0]->ReceiveAll(),
              StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
}

absl::Duration CpuTime() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

// Without descriptors it waits, instead of asking again and again.
TEST_F(ConnectPortTest, ServesAgainOnceThereAreDescriptors) {
  Listen();
  Client client;
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int next = dup(0);
  ASSERT_GE(next, 0);
  close(next);
  rlimit none = limit;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  client.Connect(port_->port());
  client.Send(kRequest);
  const absl::Duration before = CpuTime();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_LT(CpuTime() - before, absl::Milliseconds(100));
  EXPECT_EQ(port_->served(), 0);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_THAT(client.ReceiveAll(), HasSubstr("served"));
}

TEST_F(ConnectPortTest, ALongRefusedRequestGetsItsAnswer) {
  Listen();
  Client client(port_->port());
  client.Send(std::string(30'000, 'x'));
  EXPECT_THAT(client.ReceiveAll(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
}

TEST_F(ConnectPortTest, StopEndsConnectionsThatWait) {
  Listen();
  Client client(port_->port());
  client.Send("CONNECT ord");
  port_->Stop();
  EXPECT_EQ(client.ReceiveAll(), "");
}

TEST_F(ConnectPortTest, AnAddressInUseIsAnError) {
  Listen();
  const std::string address = absl::StrCat("127.0.0.1:", port_->port());
  const auto second = ConnectPort::Listen(
      address, [](const Address&, int) { return absl::OkStatus(); });
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(), "can't listen on " + address);
}

absl::StatusOr<std::unique_ptr<ConnectPort>> ListenAt(
    const std::string& address) {
  return ConnectPort::Listen(
      address, [](const Address&, int) { return absl::OkStatus(); });
}

// Runs `test` where /etc/hosts has these lines. False if this process may not
// do that.
bool WithHosts(const std::string& lines, const std::function<void()>& test) {
  const tether::testing::TempFolder folder;
  const std::string hosts = folder.Write("hosts", lines);
  bool may = false;
  // The thread's mounts are its own, and end with it.
  std::thread([&] {
    may = unshare(CLONE_NEWNS) == 0 &&
          mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
          mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
    if (may) test();
  }).join();
  return may;
}

// Listens on all of `addresses`, those of localhost, or not at all.
void ExpectAllOrNone(const std::vector<std::string>& addresses) {
  auto all = ListenAt("localhost:0");
  ASSERT_TRUE(all.ok()) << all.status();
  for (const std::string& address : addresses) {
    EXPECT_FALSE(ListenAt(absl::StrCat(address, ":", (*all)->port())).ok())
        << address << " is free";
  }
  all->reset();
  for (const std::string& address : addresses) {
    const auto one = ListenAt(absl::StrCat(address, ":0"));
    // A machine may have no IPv6.
    if (!one.ok()) continue;
    EXPECT_FALSE(ListenAt(absl::StrCat("localhost:", (*one)->port())).ok())
        << address << " is taken";
  }
}

TEST_F(ConnectPortTest, LocalhostIsAllItsAddressesOrAnError) {
  ExpectAllOrNone({"127.0.0.1"});
  if (!WithHosts("127.0.0.1 localhost\n::1 localhost\n", [] {
        ExpectAllOrNone({"127.0.0.1", "[::1]"});
      })) {
    GTEST_SKIP() << "this process may not change its mounts";
  }
}

TEST_F(ConnectPortTest, AnAddressMayStandTwiceInHosts) {
  if (!WithHosts("127.0.0.1 localhost\n127.0.0.1 localhost shop\n",
                 [] { ExpectAllOrNone({"127.0.0.1"}); })) {
    GTEST_SKIP() << "this process may not change its mounts";
  }
}

}  // namespace
}  // namespace tether::sidecar
