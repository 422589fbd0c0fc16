// SPDX-License-Identifier: Apache-2.0
//
// What calls need to know about where they go: replaced as a whole when the
// configuration is reloaded. A call keeps what it began with.

#ifndef TETHER_SIDECAR_ROUTES_H_
#define TETHER_SIDECAR_ROUTES_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "sidecar/access_log.h"
#include "sidecar/correlator.h"
#include "sidecar/counters.h"
#include "sidecar/hop_id.h"
#include "sidecar/options.h"
#include "tether/grpc/incoming_call.h"
#include "tether/grpc/outgoing_call.h"

namespace tether::sidecar {

// What all listeners share, for the life of the sidecar.
struct Shared {
  explicit Shared(const Correlator::Options& options)
      : correlator(ids, options) {}

  const HopIds ids;
  Correlator correlator;
  // Calls that Mode::kFull would have ended or refused.
  MethodCounts would_cut;
};

// Where calls go: a channel, and how it was made.
class Upstream {
 public:
  // `is_app`: it is the app, on this machine. Null credentials: plaintext.
  Upstream(std::string target, std::string credentials_id,
           std::string server_name,
           const std::shared_ptr<grpc::ChannelCredentials>& credentials,
           bool is_app);

  // Whether an upstream that is made of these would be the same.
  bool Is(std::string_view target, std::string_view credentials_id,
          std::string_view server_name) const {
    return target == target_ && credentials_id == credentials_id_ &&
           server_name == server_name_;
  }

  const std::string& target() const { return target_; }
  bool is_plaintext() const { return credentials_id_.empty(); }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // gRPC's stubs aren't const, but may be used by any thread.
  grpc::GenericStub& stub() const { return stub_; }

 private:
  const std::string target_, credentials_id_, server_name_;
  const std::shared_ptr<grpc::Channel> channel_;
  mutable grpc::GenericStub stub_;
};

struct IngressRoute {
  // `base`: the parent of the requests' contexts. `most`: see below.
  IngressRoute(const SidecarOptions& options, Context base, int64_t most,
               std::shared_ptr<const Upstream> to_app,
               std::shared_ptr<AccessLog> log);

  Mode mode;
  int64_t most_in_flight;  // of each queue
  // Makes the contexts of requests. In Mode::kObserve it has no policies.
  CallServer server;
  // Headers that the app doesn't get, apart from tether's own.
  bool is_edge;
  EdgeOptions edge;
  std::shared_ptr<const Upstream> app;
  std::shared_ptr<AccessLog> access_log;  // null: off
};

struct EgressRoute {
  EgressRoute(const SidecarOptions& options, const EgressOptions& egress,
              int64_t most, std::shared_ptr<const Upstream> to_target,
              std::shared_ptr<AccessLog> log);

  // The most that calls of `method` get.
  Correlate CorrelateOf(std::string_view method) const;
  // What they do get. Requires that `correlate` isn't kOff.
  Mode ModeOf(Correlate correlate) const {
    return correlate == Correlate::kFull ? mode
                                         : std::min(mode, Mode::kDeadline);
  }

  Mode mode;
  int64_t most_in_flight;  // of each queue
  CallClient client;
  std::shared_ptr<const Upstream> target;
  std::shared_ptr<AccessLog> access_log;  // null: off

 private:
  Correlate correlate_;
  absl::flat_hash_map<std::string, Correlate> methods_;
};

// The current route of a listener, for each of its queues. Each queue has a
// shared_ptr with a count of its own, so that threads don't share it.
//
// Thread safety: any thread.
template <typename T>
class Routes {
 public:
  Routes(std::shared_ptr<const T> route, size_t queues) : slots_(queues) {
    Set(std::move(route));
  }

  void Set(std::shared_ptr<const T> route) {
    for (Slot& slot : slots_) {
      auto owner = std::make_shared<std::shared_ptr<const T>>(route);
      std::shared_ptr<const T> of_queue(owner, owner->get());
      const std::lock_guard<std::mutex> lock(slot.mutex);
      slot.route.swap(of_queue);
    }
  }

  std::shared_ptr<const T> Get(size_t queue) const {
    const Slot& slot = slots_[queue];
    const std::lock_guard<std::mutex> lock(slot.mutex);
    return slot.route;
  }

 private:
  struct alignas(64) Slot {
    mutable std::mutex mutex;
    std::shared_ptr<const T> route;
  };

  std::vector<Slot> slots_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_ROUTES_H_
