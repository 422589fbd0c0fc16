// SPDX-License-Identifier: Apache-2.0
//
// Sends a message to the WarningHandler.

#ifndef TETHER_GRPC_INTERNAL_WARN_H_
#define TETHER_GRPC_INTERNAL_WARN_H_

#include <string_view>

namespace tether::internal {

// The caller makes sure that this isn't repeated. Takes no lock.
void Warn(std::string_view message) noexcept;

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_WARN_H_
