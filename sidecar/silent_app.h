// SPDX-License-Identifier: Apache-2.0
//
// A server that has no methods, and calls by the bytes of their messages. For
// tests only.

#ifndef TETHER_SIDECAR_SILENT_APP_H_
#define TETHER_SIDECAR_SILENT_APP_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tether/grpc/testing/loopback.h"

namespace tether::sidecar::testing {

// Listens on `port` of 127.0.0.1, from the constructor to the destructor. 0: a
// free one.
class SilentApp {
 public:
  explicit SilentApp(int port = 0);
  ~SilentApp();
  SilentApp(const SilentApp&) = delete;
  SilentApp& operator=(const SilentApp&) = delete;

  int port() const { return server_.port; }
  const std::string& address() const { return server_.address; }

  std::shared_ptr<grpc::Channel> Connect(
      const grpc::ChannelArguments& arguments =
          tether::testing::OwnConnection()) const;

 private:
  grpc::CallbackGenericService service_;
  tether::testing::LoopbackServer server_;
};

// Calls `method` ("/pkg.Service/Method"), and returns the reply.
absl::StatusOr<std::string> CallWithBytes(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
    const std::string& request);

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_SILENT_APP_H_
