// SPDX-License-Identifier: Apache-2.0
//
// A server of Probe on loopback, with tether, in each of gRPC's server styles.
// Its handlers wait for the end of their context in the way of their style, and
// record their observations.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MATRIX_SERVER_H_
#define TETHER_INTEGRATION_TESTS_MATRIX_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/server.h"

namespace tether::matrix {

// The handlers of every style tell it what they do: for each RPC these
// functions in this order, one at a time. The functions for several RPCs may be
// called concurrently.
class HandlerObserver {
 public:
  virtual ~HandlerObserver() = default;
  // The RPC has arrived.
  virtual void Begin(const Context& ctx) = 0;
  // Request::kAnswer and kFail: the handler is about to reply.
  virtual void Keep(const Context& ctx) = 0;
  // Request::kWait: before it waits, and when its context has ended.
  virtual void Wait(const Context& ctx) = 0;
  virtual void End(const Context& ctx) = 0;
  // Request::kReadToEnd and kWriteToEnd: before the first operation, and when
  // one has failed.
  virtual void Work(const Context& ctx) = 0;
  virtual void Fail(const Context& ctx) = 0;
  // The last one. The handler is done with the RPC.
  virtual void Over() = 0;
};

// The observations of the handler. If there are several RPCs, none of which
// waits, the last one counts.
struct Observation final : HandlerObserver {
  std::atomic<int> handlers{0};

  // For Request::kWait. `waiting`: the handler waits (if the server streams,
  // after one message).
  absl::Notification waiting;
  absl::Time deadline;  // of its context
  // `ended`: the handler has noticed that its context has ended. The fields are
  // written before their notification.
  absl::Notification ended;
  absl::Time ended_at;
  absl::Status err;
  absl::Status cause;
  EndReason reason = EndReason::kNone;

  // For other requests: the handler's context, whether it was done on arrival,
  // and its remaining time.
  absl::Mutex mutex;
  Context context ABSL_GUARDED_BY(mutex);
  bool was_done ABSL_GUARDED_BY(mutex) = false;
  absl::Duration remaining ABSL_GUARDED_BY(mutex);

  // For Request::kReadToEnd and kWriteToEnd: the number of handlers at work,
  // and the state of each context after an operation had failed.
  struct Failed {
    bool done;
    absl::Status cause;
    absl::Time at;
  };
  bool look_first = false;  // before the first operation; set before any RPC
  int at_work ABSL_GUARDED_BY(mutex) = 0;
  std::vector<Failed> failed ABSL_GUARDED_BY(mutex);

  void Begin(const Context& ctx) override;
  void Keep(const Context& ctx) override;
  void Wait(const Context& ctx) override;
  void End(const Context& ctx) override;
  void Work(const Context& ctx) override;
  void Fail(const Context& ctx) override;
  void Over() override {}
};

class Server {
 public:
  // Shuts down at once.
  virtual ~Server() = default;

  const std::string& address() const { return address_; }

  // Like grpc::Server::Shutdown: returns when all RPCs have ended, and cancels
  // them at now + grace. Only the first call has an effect. Any thread.
  virtual void Shutdown(absl::Duration grace) = 0;

  // Like Shutdown, but with ShutdownServer, without any grace for the requests:
  // `cancel_base_context` ends them. gRPC doesn't cancel them.
  virtual void Drain(const CancelFunc& cancel_base_context) = 0;

 protected:
  std::string address_;
};

// `port`: of 127.0.0.1; 0: a free one.
std::unique_ptr<Server> StartServer(ServerStyle style,
                                    std::shared_ptr<HandlerObserver> seen,
                                    ServerOptions options = {}, int port = 0);

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_SERVER_H_
