// SPDX-License-Identifier: Apache-2.0
//
// A server with a tether.v1.Inspector whose answers the test sets.
//
// For tests only.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_TESTING_INSPECTED_H_
#define TETHER_OBSERVABILITY_TETHERCTL_TESTING_INSPECTED_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tether/grpc/testing/loopback.h"
#include "tether/observability/internal/inspector.h"
#include "tether/v1/inspector.pb.h"

namespace tether::ctl::testing {

class Inspected {
 public:
  // `port` 0: any free one.
  explicit Inspected(v1::Snapshot snapshot,
                     std::optional<v1::PropagationHealth> health = std::nullopt,
                     int port = 0)
      : Inspected([snapshot = std::move(snapshot)](
                      const v1::ListRequest&) { return snapshot; },
                  std::move(health), port) {}

  explicit Inspected(std::function<v1::Snapshot(const v1::ListRequest&)> list,
                     std::optional<v1::PropagationHealth> health = std::nullopt,
                     int port = 0)
      : service_(internal::MakeInspectorService(
            {}, {std::move(list),
                 [health = std::move(health)] { return health; }})) {
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = tether::testing::ListenOnLoopback(
        builder, grpc::InsecureServerCredentials(), port);
  }

  ~Inspected() { server_.server->Shutdown(std::chrono::system_clock::now()); }

  const std::string& address() const { return server_.address; }
  int port() const { return server_.port; }

 private:
  const std::unique_ptr<grpc::Service> service_;
  tether::testing::LoopbackServer server_;
};

}  // namespace tether::ctl::testing

#endif  // TETHER_OBSERVABILITY_TETHERCTL_TESTING_INSPECTED_H_
