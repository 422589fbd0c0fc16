// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/passage.h"

#include "sidecar/testing/scripted_server.h"

namespace tether::sidecar::testing {

struct Passage::Sidecars {};

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
