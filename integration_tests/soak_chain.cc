// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/soak_chain.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "integration_tests/soak_relay.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/testing/give_up.h"

namespace tether::soak {
namespace {

constexpr int kStyles = std::size(matrix::kServerStyles);

void Require(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::abort();
}

int Pick(std::mt19937& random, int count) {
  return static_cast<int>(random() % static_cast<uint32_t>(count));
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments = testing::OwnConnection();
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 10);
  // This is the least time for one attempt.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 50);
  // With gRPC's transparent retries, about one call in 200,000 on connections
  // that break never ends in 1.51, though it has been cancelled: core's call
  // combiner isn't released.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  auto channel = tether::CreateChannel(
      address, grpc::InsecureChannelCredentials(), {}, arguments);
  // Connecting must use none of a call's time, and must not fail later, when
  // many threads run.
  Require(channel->WaitForConnected(
              absl::ToChronoTime(absl::Now() + testing::kGiveUp)),
          "WaitForConnected");
  return channel;
}

}  // namespace

// ---- ReservedPort -----------------------------------------------------------

ReservedPort::ReservedPort()
    : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  // gRPC's listeners have the same option, so they may use the port, too.
  const int on = 1;
  Require(setsockopt(socket_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0,
          "SO_REUSEPORT");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  Require(bind(socket_, any, size) == 0, "bind");
  Require(getsockname(socket_, any, &size) == 0, "getsockname");
  number_ = ntohs(address.sin_port);
}

ReservedPort::~ReservedPort() { close(socket_); }

// ---- Hop --------------------------------------------------------------------

Hop::Hop(const Start& start) {
  Restart(start);
  link_ = std::make_unique<testing::TcpProxy>(address(/*by_link=*/false));
}

Hop::~Hop() { Stop(How::kDrain); }

void Hop::Stop(How how) {
  switch (how) {
    case How::kDrain:
      server_->Drain(base_.cancel);
      break;
    case How::kShutdown:
      server_->Shutdown(absl::ZeroDuration());
      break;
    case How::kShutdownWithGrace:
      server_->Shutdown(absl::Milliseconds(50));
      break;
  }
  server_.reset();
}

void Hop::Restart(const Start& start) {
  base_ = WithCancel(Background());
  ServerOptions options;
  options.base_context = base_.ctx;
  server_ = start(std::move(options), port_.number());
}

std::string Hop::address(bool by_link) const {
  return by_link ? link_->address()
                 : absl::StrCat("127.0.0.1:", port_.number());
}

// ---- Chain ------------------------------------------------------------------

Chain::Chain(const Watchdog& watchdog, std::mt19937& random)
    : relay_tally_(std::make_shared<HandlerTally>(watchdog)) {
  for (int i = 0; i < kStyles; ++i) {
    leaf_tallies_.push_back(std::make_shared<HandlerTally>(watchdog));
  }
  // At first there is one leaf of each style, and one that stays as it is.
  const int first = Pick(random, kStyles);
  for (int i = 0; i < kLeaves; ++i) {
    leaves_.push_back(std::make_unique<Hop>(
        LeafOf(matrix::kServerStyles[(first + i) % kStyles])));
    for (bool by_link : {false, true}) {
      const std::string address = leaves_.back()->address(by_link);
      to_leaves_[address] = Connect(address);
    }
  }
  for (int i = 0; i < kRelays; ++i) {
    relays_.push_back(std::make_unique<Hop>(Relay()));
  }
}

Chain::~Chain() {
  relays_.clear();
  to_leaves_.clear();
}

Hop::Start Chain::LeafOf(matrix::ServerStyle style) const {
  return [seen = leaf_tallies_[static_cast<size_t>(style)], style](
             ServerOptions options, int port) {
    return matrix::StartServer(style, seen, std::move(options), port);
  };
}

Hop::Start Chain::Relay() const {
  return [this](ServerOptions options, int port) {
    return StartRelay(relay_tally_, to_leaves_, std::move(options), port);
  };
}

Channels Chain::MakeChannels() const {
  Channels channels;
  for (const auto* hops : {&leaves_, &relays_}) {
    for (const auto& hop : *hops) {
      for (bool by_link : {false, true}) {
        const std::string address = hop->address(by_link);
        channels[address] = Connect(address);
      }
    }
  }
  return channels;
}

std::string Chain::Prepare(const Plan& plan, grpc::ClientContext& call) const {
  const Route& route = plan.route;
  const std::string leaf = leaves_[route.leaf]->address(route.leaf_by_link);
  if (route.relay < 0) return leaf;
  AddNextHop(call, leaf, plan.relay_client, plan.plain);
  return relays_[route.relay]->address(route.relay_by_link);
}

void Chain::Reload(std::mt19937& random) {
  // All but the last leaf and the last relay.
  const int index = Pick(random, kLeaves - 1 + kRelays - 1);
  const bool is_leaf = index < kLeaves - 1;
  Hop& hop = is_leaf ? *leaves_[index] : *relays_[index - (kLeaves - 1)];
  const auto how = static_cast<Hop::How>(Pick(random, 3));
  hop.Stop(how);
  ++(how == Hop::How::kDrain ? drains_ : shutdowns_);
  absl::SleepFor(absl::Milliseconds(Pick(random, 50)));
  hop.Restart(is_leaf ? LeafOf(matrix::kServerStyles[Pick(random, kStyles)])
                      : Relay());
}

void Chain::Disturb(std::mt19937& random, const Context& end) {
  const int index = Pick(random, kLeaves - 1 + kRelays - 1);
  Hop& hop =
      index < kLeaves - 1 ? *leaves_[index] : *relays_[index - (kLeaves - 1)];
  if (Pick(random, 2) == 0) {
    hop.link().ResetConnections();
    ++cuts_;
    return;
  }
  hop.link().Stall();
  ++stalls_;
  end.WaitFor(absl::Milliseconds(Pick(random, 300)));
  hop.link().Resume();
}

void Chain::Print(std::ostream& out) const {
  out << "handlers: relays " << relay_tally_->begun();
  absl::Duration late;
  int64_t ends[10] = {};
  for (matrix::ServerStyle style : matrix::kServerStyles) {
    out << ", " << matrix::Name(style) << " " << leaves(style).begun();
    late = std::max(late, leaves(style).late());
    for (int i = 0; i < 10; ++i) {
      ends[i] += leaves(style).ends_of(static_cast<EndReason>(i));
    }
  }
  out << "\nends that handlers waited for:";
  for (int i = 0; i < 10; ++i) {
    if (ends[i] == 0) continue;
    out << " " << EndReasonName(static_cast<EndReason>(i)) << " " << ends[i]
        << ";";
  }
  out << " at most " << late << " after the deadline\n"
      << drains_ << " drains, " << shutdowns_ << " shutdowns, " << cuts_
      << " cuts, " << stalls_ << " stalls";
}

}  // namespace tether::soak
