// SPDX-License-Identifier: Apache-2.0
//
// A plain gRPC server whose handler, for all methods, is a function that
// blocks.
//
//   ScriptedServer server([](ServerSide& call) {
//     call.Read();
//     call.WriteAndFinish("reply", grpc::Status::OK);
//   });
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_SCRIPTED_SERVER_H_
#define TETHER_SIDECAR_TESTING_SCRIPTED_SERVER_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "sidecar/testing/blocking_call.h"
#include "tether/internal/mutex.h"

namespace tether::sidecar::testing {

// A thread for each call.
class ScriptedServer {
 public:
  using Handler = std::function<void(ServerSide&)>;

  // Handlers run concurrently.
  explicit ScriptedServer(Handler handler);
  // Waits for all handlers.
  ~ScriptedServer();

  const std::string& address() const { return address_; }

  // Waits for all handlers and takes no more calls. Returns what they wrote
  // down, call by call, sorted. Once.
  std::string Stop();

 private:
  void Accept();
  // Null once the server has stopped.
  std::unique_ptr<ServerSide> Request();
  void Serve(std::unique_ptr<ServerSide> call);

  const Handler handler_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::vector<std::thread> handlers_;  // the acceptor's until it has ended
  std::thread acceptor_;

  internal::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;  // before queue_ is shut down
  std::vector<std::string> transcripts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_SCRIPTED_SERVER_H_
