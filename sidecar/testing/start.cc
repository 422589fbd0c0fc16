// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/start.h"

#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tether::sidecar::testing {

std::unique_ptr<Sidecar> StartOnLoopback(SidecarOptions options) {
  options.ingress.listen = AddressOf(0);
  for (EgressOptions& egress : options.egress) egress.listen = AddressOf(0);
  auto sidecar = Sidecar::Start(std::move(options));
  if (!sidecar.ok()) {
    std::cerr << "no sidecar can be started: " << sidecar.status() << std::endl;
    std::abort();
  }
  return *std::move(sidecar);
}

std::string AddressOf(int port) { return absl::StrCat("127.0.0.1:", port); }

}  // namespace tether::sidecar::testing
