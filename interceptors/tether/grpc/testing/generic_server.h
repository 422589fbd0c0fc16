// SPDX-License-Identifier: Apache-2.0
//
// A server and a client without tether's interceptors, whose calls are
// IncomingCalls and OutgoingCalls: a generic service on a completion queue, and
// a generic stub.
//
//   GenericServer server(ServerOptions(), [](GenericServer::Call& call) {
//     return grpc::Status::OK;
//   });
//   GenericClient client(server.address());
//   EXPECT_TRUE(client.Call(ctx).status.ok());
//
// For tests only.

#ifndef TETHER_GRPC_TESTING_GENERIC_SERVER_H_
#define TETHER_GRPC_TESTING_GENERIC_SERVER_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client_options.h"
#include "tether/grpc/incoming_call.h"
#include "tether/grpc/outgoing_call.h"
#include "tether/grpc/server_options.h"
#include "tether/internal/mutex.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::testing {

using Headers = std::multimap<std::string, std::string>;

inline constexpr char kProbeMethod[] = "/tether.testing.Probe/Unary";

// Serves any method that has one message each way.
class GenericServer {
 public:
  // One request. Used by its handler.
  struct Call {
    grpc::GenericServerContext sc;
    std::optional<IncomingCall> incoming;
    Headers trailing;

    const Context& ctx() const { return incoming->context(); }
    // The values of the header `key`.
    std::string Header(const std::string& key) const;
  };

  // Runs on a thread of its own for each request. nullopt: destroys the
  // IncomingCall without an answer.
  using Handler = std::function<std::optional<grpc::Status>(Call&)>;

  GenericServer(ServerOptions options, Handler handler);
  // Waits for the handlers.
  ~GenericServer();

  const std::string& address() const { return address_; }

 private:
  class Rpc;

  void Serve();
  // Rpcs that exist: on the queue, or with a handler.
  void CountLive(int change);

  const CallServer shared_;
  const Handler handler_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::thread thread_;
  internal::Mutex mutex_;
  internal::CondVar none_live_;
  int live_ ABSL_GUARDED_BY(mutex_) = 0;
};

class GenericClient {
 public:
  // The channel isn't connected yet. `interceptors`: with those of
  // CreateChannel.
  explicit GenericClient(const std::string& address, ClientOptions options = {},
                         bool interceptors = false);
  ~GenericClient();

  struct CallSettings {
    Headers metadata = {};
    OutgoingCallOptions options = {};
    // The ClientContext's own.
    absl::Duration timeout = absl::InfiniteDuration();
    // Whether the test tells the OutgoingCall that the call has started.
    bool tells_start = true;
    // Called before the call's last operation, on the caller's thread.
    std::function<void(OutgoingCall&)> during = nullptr;
    std::string method = kProbeMethod;
  };

  struct Result {
    grpc::Status received;
    grpc::Status status;  // what OnStatus returned
    Headers trailing;
    EndReason reason = EndReason::kNone;
    v1::CallReport report;
  };

  // A call with an empty message. Blocks until its status is here.
  Result Call(const Context& ctx, CallSettings settings);
  Result Call(const Context& ctx) { return Call(ctx, CallSettings()); }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  const CallClient shared_;
};

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_GENERIC_SERVER_H_
