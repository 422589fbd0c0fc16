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
#include "tether/grpc/testing/front_and_leaf.h"
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

class MiddleHopTest : public testing::FrontAndLeaf {
 protected:
  MiddleHopTest() {
    at_leaf_ = [this](grpc::ServerContext& sc) {
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
    at_front_ = [this](grpc::ServerContext& sc) {
      const Context ctx = change(ContextOf(sc));
      ClientCall call(ctx);
      for (const auto& [name, value] : own) call.AddMetadata(name, value);
      testing::Pong pong;
      return to_leaf_->Unary(&call, testing::Ping(), &pong);
    };
  }
  ~MiddleHopTest() override { Stop(); }

  // Starts the middle hop, which is the front, and the leaf. The hop's server
  // and its channel use `propagator`.
  void StartMiddle(std::shared_ptr<const Propagator> propagator) {
    Options options;
    options.leaf = std::nullopt;
    options.to_front = std::nullopt;
    options.to_leaf->propagator = propagator;
    options.front->propagator = std::move(propagator);
    Start(std::move(options));
    straight_ = leaf_->Stub(/*tether=*/std::nullopt);
  }

  // Sends a request with these headers to the leaf: directly, or through the
  // middle hop.
  void Straight(const Headers& headers) { Send(*straight_, headers); }
  void Through(const Headers& headers) { Send(*to_front_, headers); }

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
  std::unique_ptr<testing::Probe::Stub> straight_;
};

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_MIDDLE_HOP_H_
