// SPDX-License-Identifier: Apache-2.0
//
// A server of Probe on loopback, with tether, in each of gRPC's server styles.
// Its handlers wait for the end of their context in the way of their style, and
// record what they observed.
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
#include "tether/grpc/server.h"

namespace tether::matrix {

// What the handler observed. If there are several RPCs, none of which waits, it
// is the handler of the last one.
struct Observation {
  std::atomic<int> handlers{0};

  // Request::kWait: the handler waits (where the server streams, after one
  // message)…
  absl::Notification waiting;
  absl::Time deadline;  // of its context
  // … and its context has ended, as the handler noticed it. The fields are
  // written before their notification.
  absl::Notification ended;
  absl::Time ended_at;
  absl::Status err;
  absl::Status cause;

  // Otherwise: its context, whether that was done when it came, and the time
  // that it had.
  absl::Mutex mutex;
  Context context ABSL_GUARDED_BY(mutex);
  bool was_done ABSL_GUARDED_BY(mutex) = false;
  absl::Duration remaining ABSL_GUARDED_BY(mutex);

  // Request::kReadToEnd, kWriteToEnd: how many handlers are at it, and what
  // each context said when an operation had failed.
  struct Failed {
    bool done;
    absl::Status cause;
    absl::Time at;
  };
  bool look_first = false;  // before the first operation; set before any RPC
  int at_work ABSL_GUARDED_BY(mutex) = 0;
  std::vector<Failed> failed ABSL_GUARDED_BY(mutex);

  // For what the handler of every style does.
  void Begin(const Context& ctx);
  void Keep(const Context& ctx);
  void Wait(const Context& ctx);
  void End(const Context& ctx);
  void Work(const Context& ctx);
  void Fail(const Context& ctx);
};

class Server {
 public:
  // Shuts down at once.
  virtual ~Server() = default;

  const std::string& address() const { return address_; }

  // Like grpc::Server::Shutdown: returns when all RPCs have ended; at now +
  // grace they are cancelled. Only the first call has an effect. Any thread.
  virtual void Shutdown(absl::Duration grace) = 0;

 protected:
  std::string address_;
};

std::unique_ptr<Server> StartServer(ServerStyle style,
                                    std::shared_ptr<Observation> seen,
                                    ServerOptions options = {});

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_SERVER_H_
