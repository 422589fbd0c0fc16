// SPDX-License-Identifier: Apache-2.0
//
// A hop with tether between a client and a leaf of plain gRPC: what the leaf
// receives is exactly what the hop sent.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MIDDLE_HOP_H_
#define TETHER_INTEGRATION_TESTS_MIDDLE_HOP_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/relay.h"

namespace tether {

using Headers = std::vector<std::pair<std::string, std::string>>;
using Values = std::vector<std::string>;
using Parts = std::vector<std::shared_ptr<const Propagator>>;

inline std::shared_ptr<const Propagator> Relaying(
    std::vector<std::string> headers) {
  return std::make_shared<RelayPropagator>(std::move(headers));
}

class MiddleHopTest : public testing::GrpcLeakCheckedTest {
 protected:
  MiddleHopTest()
      : leaf_({/*callback_api=*/false, /*tether=*/std::nullopt}),
        straight_(leaf_.Stub(/*tether=*/std::nullopt)) {
    leaf_.unary = [this](grpc::ServerContext& sc, const testing::Ping&,
                         testing::Pong*) {
      internal::MutexLock lock(mutex_);
      got_.clear();
      bytes_ = 0;
      for (const auto& [name, value] : sc.client_metadata()) {
        got_[std::string(name.data(), name.size())].emplace_back(value.data(),
                                                                 value.size());
        bytes_ += 32 + name.size() + value.size();
      }
      return grpc::Status::OK;
    };
  }

  // Starts the middle hop; its server and its channel use `propagator`.
  void StartMiddle(std::shared_ptr<const Propagator> propagator) {
    ClientOptions client_options;
    client_options.propagator = propagator;
    onward_ = leaf_.Stub(client_options);
    ServerOptions server_options;
    server_options.propagator = std::move(propagator);
    middle_.emplace(testing::ProbeServer::Options{/*callback_api=*/false,
                                                  std::move(server_options)});
    middle_->unary = [this](grpc::ServerContext& sc, const testing::Ping& ping,
                            testing::Pong* pong) {
      const Context ctx = change(ContextOf(sc));
      ClientCall call(ctx);
      for (const auto& [name, value] : own) call.AddMetadata(name, value);
      return onward_->Unary(&call, ping, pong);
    };
    through_ = middle_->Stub(/*tether=*/std::nullopt);
  }

  // Sends a request with these headers to the leaf: directly, or through the
  // middle hop.
  void Straight(const Headers& headers) { Send(*straight_, headers); }
  void Through(const Headers& headers) { Send(*through_, headers); }

  // The values of `name` that the leaf received in the last call.
  Values Got(const std::string& name) {
    internal::MutexLock lock(mutex_);
    const auto it = got_.find(name);
    return it == got_.end() ? Values() : it->second;
  }
  size_t GotBytes() {
    internal::MutexLock lock(mutex_);
    return bytes_;
  }

  // The middle hop passes its context through this function.
  std::function<Context(const Context&)> change = [](const Context& ctx) {
    return ctx;
  };
  Headers own;  // headers that the middle hop adds itself

  testing::ProbeServer& leaf() { return leaf_; }

 private:
  static void Send(testing::Probe::Stub& stub, const Headers& headers) {
    grpc::ClientContext call;
    for (const auto& [name, value] : headers) call.AddMetadata(name, value);
    testing::Pong pong;
    const grpc::Status status = stub.Unary(&call, testing::Ping(), &pong);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  internal::Mutex mutex_;
  std::map<std::string, Values> got_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  testing::ProbeServer leaf_;
  const std::unique_ptr<testing::Probe::Stub> straight_;
  std::unique_ptr<testing::Probe::Stub> onward_;
  std::optional<testing::ProbeServer> middle_;
  std::unique_ptr<testing::Probe::Stub> through_;
};

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_MIDDLE_HOP_H_
