// SPDX-License-Identifier: Apache-2.0
//
// Requests that wait for a connection, for a new attempt, or for their server
// to start: the caller's reserve is left even so.
//
// The tests compare two deadlines of one process on one clock, the caller's and
// the handler's. The difference is what the caller has kept. A machine that
// stands still while a message is on its way makes it smaller, and nothing
// makes it larger. So a call may be repeated.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"

namespace tether {
namespace {

using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

constexpr int kAttempts = 20;
constexpr absl::Duration kLate = absl::Milliseconds(300);
constexpr absl::Duration kLong = absl::Milliseconds(2500);

// Answers at once, and keeps the deadline of its last request.
class Observer final : public Probe::Service {
 public:
  // The number of requests that are answered with UNAVAILABLE after kLate.
  std::atomic<int> failures{0};

  absl::Time deadline() const { return absl::FromUnixNanos(deadline_); }

 private:
  grpc::Status Unary(grpc::ServerContext* sc, const Ping*, Pong*) override {
    deadline_ = absl::ToUnixNanos(ContextOf(*sc).Deadline());
    if (failures-- <= 0) return grpc::Status::OK;
    absl::SleepFor(kLate);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet");
  }

  std::atomic<int64_t> deadline_{0};
};

testing::LoopbackServer Start(Observer& observer, int port = 0) {
  grpc::ServerBuilder builder;
  builder.RegisterService(&observer);
  InstallServer(builder);
  return testing::ListenOnLoopback(builder, grpc::InsecureServerCredentials(),
                                   port);
}

// How a call is made.
struct Way {
  ClientOptions options = {};
  // The factory is in a list of interceptors, so it can't ask the channel
  // whether it is connected.
  bool is_listed = false;
  bool is_plain = false;  // a plain grpc::ClientContext, for Current()
  // Otherwise the call only has the header tether-timeout.
  bool has_tether = true;
  std::string service_config = "";
};

std::unique_ptr<Probe::Stub> StubOf(const std::string& address,
                                    const Way& way) {
  grpc::ChannelArguments arguments = testing::OwnConnection();
  for (const char* backoff :
       {"grpc.initial_reconnect_backoff_ms", "grpc.min_reconnect_backoff_ms",
        "grpc.max_reconnect_backoff_ms"}) {
    arguments.SetInt(backoff, 50);
  }
  if (!way.service_config.empty()) {
    arguments.SetServiceConfigJSON(way.service_config);
  }
  if (!way.has_tether) {
    return testing::ProbeStub(address, std::nullopt, arguments);
  }
  if (!way.is_listed) {
    return Probe::NewStub(CreateChannel(
        address, grpc::InsecureChannelCredentials(), way.options, arguments));
  }
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<ClientInterceptorFactory>(way.options));
  return Probe::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
      address, grpc::InsecureChannelCredentials(), arguments,
      std::move(creators)));
}

// Makes one call. Returns what the caller has kept: its deadline less the
// handler's. nullopt if the machine was too busy for `timeout`.
std::optional<absl::Duration> Kept(Probe::Stub& stub, const Observer& observer,
                                   absl::Duration timeout,
                                   const Way& way = {}) {
  auto [ctx, cancel] = WithTimeout(Background(), timeout);
  const ScopedContext current(ctx);
  std::optional<grpc::ClientContext> plain;
  std::optional<ClientCall> own;
  const bool is_own = way.has_tether && !way.is_plain;
  grpc::ClientContext& call = is_own ? own.emplace(ctx) : plain.emplace();
  call.set_wait_for_ready(true);
  if (!way.has_tether) {
    call.AddMetadata("tether-timeout", absl::StrCat(absl::ToInt64Microseconds(
                                           timeout - Reserve().Of(timeout))));
  }
  Pong pong;
  if (!stub.Unary(&call, Ping(), &pong).ok()) return std::nullopt;
  return ctx.Deadline() - observer.deadline();
}

// A port at which nobody listens until a gRPC server of this process does.
class Port {
 public:
  Port() {
    const int yes = 1;
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    // gRPC's servers share ports, too.
    if (setsockopt(socket_, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) != 0 ||
        bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) !=
            0) {
      std::abort();
    }
    number_ = ntohs(address.sin_port);
  }
  ~Port() { close(socket_); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  int number() const { return number_; }

 private:
  const int socket_ = socket(AF_INET, SOCK_STREAM, 0);
  int number_ = 0;
};

// The same, on a new channel, with a server that starts kLate after the call.
std::optional<absl::Duration> KeptFromLateServer(absl::Duration timeout,
                                                 const Way& way = {}) {
  Observer observer;
  const Port port;
  testing::LoopbackServer started;
  std::thread starter([&] {
    absl::SleepFor(kLate);
    started = Start(observer, port.number());
  });
  const auto stub = StubOf(absl::StrCat("127.0.0.1:", port.number()), way);
  const auto kept = Kept(*stub, observer, timeout, way);
  starter.join();
  return kept;
}

class ColdChannelTest : public testing::GrpcLeakCheckedTest {
 protected:
  // Expects that at least one call keeps between `least` and `most`.
  template <typename F>
  static void ExpectKept(absl::Duration least, absl::Duration most, F kept_of) {
    std::string seen;
    for (int i = 0; i < kAttempts; ++i) {
      const std::optional<absl::Duration> kept = kept_of();
      if (!kept) continue;
      if (least <= *kept && *kept <= most) return;
      absl::StrAppend(&seen, absl::FormatDuration(*kept), " ");
    }
    ADD_FAILURE() << "not from " << least << " to " << most << ": " << seen;
  }
};

// Rounding, and what is kept for it on an unconnected channel, change a reserve
// by at most 3 ms each below a second, and by 12 ms each from then on.
constexpr absl::Duration kRounding = absl::Milliseconds(24);

TEST_F(ColdChannelTest, AServerThatStartsLateLeavesItsCallerTheReserve) {
  const absl::Duration reserve = Reserve().Of(kLong);
  ExpectKept(reserve, reserve + kRounding,
             [] { return KeptFromLateServer(kLong); });
}

TEST_F(ColdChannelTest, SoDoesOneThatIsCalledThroughAListOfInterceptors) {
  Way way;
  way.is_listed = true;
  const absl::Duration reserve = Reserve().Of(kLong - kLate);
  ExpectKept(reserve - kRounding / 2, reserve + kRounding,
             [&] { return KeptFromLateServer(kLong, way); });
}

TEST_F(ColdChannelTest, TheReserveIsTheCallersOwn) {
  Way way;
  way.options.reserve = Reserve::Fixed(absl::Milliseconds(200));
  ExpectKept(absl::Milliseconds(200), absl::Milliseconds(200) + kRounding,
             [&] { return KeptFromLateServer(kLong, way); });
  way.options.reserve = Reserve::None();
  ExpectKept(-kRounding / 2, kRounding / 2,
             [&] { return KeptFromLateServer(kLong, way); });
}

TEST_F(ColdChannelTest, SoDoesOneThatIsCalledForCurrent) {
  Way way;
  way.is_plain = true;
  const absl::Duration reserve = Reserve().Of(kLong);
  ExpectKept(reserve, reserve + kRounding,
             [&] { return KeptFromLateServer(kLong, way); });
}

// The control: only grpc-timeout tells that a request has waited.
TEST_F(ColdChannelTest, ControlWithoutGrpcTimeoutTheServerCannotTell) {
  Way way;
  way.has_tether = false;
  ExpectKept(-kLong, absl::ZeroDuration(),
             [&] { return KeptFromLateServer(kLong, way); });
}

// The wait is as short as rounding errors.
TEST_F(ColdChannelTest, ANewConnectionTakesNothingOfTheReserveOfAShortCall) {
  Observer observer;
  const testing::LoopbackServer started = Start(observer);
  for (const int ms : {20, 50, 200, 1000}) {
    const absl::Duration timeout = absl::Milliseconds(ms);
    const absl::Duration reserve = Reserve().Of(timeout);
    ExpectKept(reserve, reserve + kRounding, [&] {
      return Kept(*StubOf(started.address, {}), observer, timeout);
    });
  }
}

TEST_F(ColdChannelTest, AConnectedChannelKeepsTheReserveAndNoMore) {
  Observer observer;
  const testing::LoopbackServer started = Start(observer);
  const auto stub = StubOf(started.address, {});
  (void)Kept(*stub, observer, absl::Hours(1));  // connects
  const absl::Duration timeout = absl::Milliseconds(200);
  const absl::Duration reserve = Reserve().Of(timeout);
  ExpectKept(reserve - absl::Milliseconds(2), reserve,
             [&] { return Kept(*stub, observer, timeout); });
}

TEST_F(ColdChannelTest, AnAttemptOfGrpcsOwnLeavesTheReserve) {
  Way way;
  way.service_config = R"({"methodConfig": [{"name": [{}], "retryPolicy": {
      "maxAttempts": 2, "backoffMultiplier": 1, "initialBackoff": "0.05s",
      "maxBackoff": "0.05s", "retryableStatusCodes": ["UNAVAILABLE"]}}]})";
  Observer observer;
  const testing::LoopbackServer started = Start(observer);
  const auto stub = StubOf(started.address, way);
  const absl::Duration reserve = Reserve().Of(kLong - kLate);
  ExpectKept(reserve - kRounding, reserve + kRounding, [&] {
    observer.failures = 1;
    return Kept(*stub, observer, kLong);
  });
}

}  // namespace
}  // namespace tether
