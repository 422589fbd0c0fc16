// SPDX-License-Identifier: Apache-2.0
//
// The servers behind StartServer.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MATRIX_SERVER_STYLES_H_
#define TETHER_INTEGRATION_TESTS_MATRIX_SERVER_STYLES_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "integration_tests/matrix/server.h"
#include "tether/context.h"
#include "tether/grpc/server.h"

namespace tether::matrix {

// The base of all styles. A style's destructor calls Shutdown before it
// destroys its services.
class GrpcServer : public Server {
 public:
  ~GrpcServer() override;
  void Shutdown(absl::Duration grace) final;
  void Drain(const CancelFunc& cancel_base_context) final;

 protected:
  void BuildAndStart(grpc::ServerBuilder& builder, ServerOptions options,
                     int port);
  // Called when all RPCs have ended. The grpc::Server still exists.
  virtual void DidShutdown() {}

 private:
  void ShutdownWith(absl::FunctionRef<void(grpc::Server&)> shutdown);

  absl::Mutex mutex_;
  std::unique_ptr<grpc::Server> server_ ABSL_GUARDED_BY(mutex_);
};

std::unique_ptr<Server> StartSyncServer(std::shared_ptr<HandlerObserver> seen,
                                        ServerOptions options, int port);
std::unique_ptr<Server> StartCallbackServer(
    std::shared_ptr<HandlerObserver> seen, ServerOptions options, int port);
std::unique_ptr<Server> StartGenericCallbackServer(
    std::shared_ptr<HandlerObserver> seen, ServerOptions options, int port);
std::unique_ptr<Server> StartAsyncServer(std::shared_ptr<HandlerObserver> seen,
                                         ServerOptions options, int port);
std::unique_ptr<Server> StartGenericAsyncServer(
    std::shared_ptr<HandlerObserver> seen, ServerOptions options, int port);

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_SERVER_STYLES_H_
