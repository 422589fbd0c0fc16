// SPDX-License-Identifier: Apache-2.0
//
// Starts sidecars on the loopback interface.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_START_H_
#define TETHER_SIDECAR_TESTING_START_H_

#include <memory>
#include <string>

#include "sidecar/options.h"
#include "sidecar/sidecar.h"

namespace tether::sidecar::testing {

// Sets all addresses to listen on to free ports of 127.0.0.1. Ends the program
// if the sidecar doesn't start.
std::unique_ptr<Sidecar> StartOnLoopback(SidecarOptions options);

// "127.0.0.1:port"
std::string AddressOf(int port);

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_START_H_
