// SPDX-License-Identifier: Apache-2.0
//
// A port of the sidecar, with the queues that serve its calls.

#ifndef TETHER_SIDECAR_LISTENER_H_
#define TETHER_SIDECAR_LISTENER_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidecar/call_queue.h"
#include "sidecar/poller.h"
#include "tether/context.h"

namespace tether::sidecar {

// Who is at the other end of a connection.
//
// gRPC enlarges the windows of a connection if its reader is fast and its line
// is long, up to megabytes, which a blocked reader then leaves in the sidecar's
// memory. The app is on this machine, where that gains nothing, so its
// connections keep HTTP/2's 64 KiB.
enum class PeerIs { kApp, kElsewhere };

// Thread safety: Shutdown and the destructor are for one thread; the rest for
// any.
class Listener {
 public:
  // Makes a call object and lets it wait for a call (ProxiedCall::Accept).
  using AcceptOne =
      std::function<void(CallQueue& queue, grpc::AsyncGenericService& service)>;

  // Listens on `address`; "": on none, for calls that come by Add. The calls
  // run on `pollers`, which must outlive the listener. Null credentials:
  // plaintext. The error says which address it is.
  static absl::StatusOr<std::unique_ptr<Listener>> Start(
      const std::string& address,
      std::shared_ptr<grpc::ServerCredentials> credentials, PeerIs peer,
      const Pollers& pollers, AcceptOne accept_one);

  // Calls Shutdown(absl::ZeroDuration()) if nobody has.
  ~Listener();

  // Serves calls that arrive on `socket`, a connection that doesn't block, in
  // plaintext. Owns it from now on. Its peer then has the name "fd:NUMBER". Not
  // after Shutdown.
  void Add(int socket);

  // Accepts no more calls, lets those that run go on for `grace`, then cancels
  // them. Returns when all are over. `at_grace` is called after `grace`, before
  // the calls are cancelled, or when they are over.
  void Shutdown(absl::Duration grace, const CancelFunc* at_grace = nullptr);

  // 0 for unix sockets.
  int port() const { return port_; }
  const std::string& address() const { return address_; }
  int threads() const { return static_cast<int>(queues_.size()); }
  void AddCountersTo(CounterValues& sum) const;
  int64_t InFlight() const;

 private:
  Listener() = default;

  void DrainUnusedQueue();

  std::string address_;
  int port_ = 0;
  grpc::AsyncGenericService service_;
  std::vector<std::unique_ptr<CallQueue>> queues_;
  std::unique_ptr<grpc::ServerCompletionQueue> unused_queue_;
  std::unique_ptr<grpc::Server> server_;
  bool is_shut_down_ = false;
};

// The settings of channels and servers through which all calls pass as they
// are: no limits of their own on messages, 64 KiB of metadata, no retries.
grpc::ChannelArguments TransparentChannelArguments(PeerIs peer);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_LISTENER_H_
