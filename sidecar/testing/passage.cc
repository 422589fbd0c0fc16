// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/passage.h"

#include "sidecar/options.h"
#include "sidecar/sidecar.h"
#include "sidecar/testing/scripted_server.h"
#include "sidecar/testing/start.h"

namespace tether::sidecar::testing {

namespace {

Mode ModeOf(Way way) {
  return way == Way::kObserve    ? Mode::kObserve
         : way == Way::kDeadline ? Mode::kDeadline
                                 : Mode::kFull;
}

}  // namespace

struct Passage::Sidecars {
  Sidecars(Mode mode, const std::string& app) {
    SidecarOptions options;
    options.mode = mode;
    options.ingress.app = app;
    at_app = StartOnLoopback(options);
    options.egress.emplace_back();
    options.egress[0].target = AddressOf(at_app->ingress_port());
    at_client = StartOnLoopback(options);
  }

  std::unique_ptr<Sidecar> at_app;
  std::unique_ptr<Sidecar> at_client;
};

std::string NameOf(Way way) {
  switch (way) {
    case Way::kDirect:
      return "Direct";
    case Way::kObserve:
      return "Observe";
    case Way::kDeadline:
      return "Deadline";
    case Way::kFull:
      break;
  }
  return "Full";
}

Passage::Passage(Way way, const std::string& app_address)
    : address_(app_address) {
  if (way == Way::kDirect) return;
  sidecars_ = std::make_unique<Sidecars>(ModeOf(way), app_address);
  address_ = AddressOf(sidecars_->at_client->egress_port(0));
}

Passage::~Passage() = default;

std::shared_ptr<grpc::Channel> Passage::NewChannel() const {
  return NewChannel(RoomyChannel());
}

std::shared_ptr<grpc::Channel> Passage::NewChannel(
    const grpc::ChannelArguments& arguments) const {
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace tether::sidecar::testing
