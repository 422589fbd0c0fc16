// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/testing/front_and_leaf.h"

#include <memory>
#include <utility>

namespace tether::testing {

FrontAndLeaf::Options FrontAndLeaf::Reporting(ReportOptions::When when,
                                              Reserve reserve) {
  ServerOptions server;
  server.report.when = when;
  Options options;
  options.front = server;
  options.leaf = server;
  options.to_front->reserve = options.to_leaf->reserve = reserve;
  return options;
}

void FrontAndLeaf::Start(Options options) {
  Stop();
  leaf_ = std::make_unique<ProbeServer>(
      ProbeServer::Options{/*callback_api=*/false, std::move(options.leaf)});
  leaf_->unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
    return at_leaf_(sc);
  };
  leaf_->download = [this](grpc::ServerContext& sc, const Ping&,
                           grpc::ServerWriter<Pong>* writer) {
    return stream_at_leaf_(sc, writer);
  };
  to_leaf_ = leaf_->Stub(std::move(options.to_leaf));
  front_ = std::make_unique<ProbeServer>(
      ProbeServer::Options{/*callback_api=*/false, std::move(options.front)});
  front_->unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
    return at_front_(sc);
  };
  to_front_ = front_->Stub(std::move(options.to_front));
}

void FrontAndLeaf::Stop() {
  to_front_.reset();
  front_.reset();
  to_leaf_.reset();
  leaf_.reset();
}

grpc::Status FrontAndLeaf::CallLeaf(const Context& ctx) {
  ClientCall call(ctx);
  Pong pong;
  return to_leaf_->Unary(&call, Ping(), &pong);
}

std::pair<grpc::Status, v1::CallReport> FrontAndLeaf::Call(
    absl::Duration timeout) {
  auto [ctx, cancel] = WithTimeout(Background(), timeout);
  ClientCall call(ctx);
  return Call(*to_front_, call);
}

std::pair<grpc::Status, v1::CallReport> FrontAndLeaf::Call(Probe::Stub& stub,
                                                           ClientCall& call) {
  Pong pong;
  grpc::Status status = stub.Unary(&call, Ping(), &pong);
  return {std::move(status), call.report()};
}

}  // namespace tether::testing
