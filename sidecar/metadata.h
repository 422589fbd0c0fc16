// SPDX-License-Identifier: Apache-2.0
//
// Metadata on its way through a sidecar.

#ifndef TETHER_SIDECAR_METADATA_H_
#define TETHER_SIDECAR_METADATA_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <string_view>

namespace tether::sidecar {

using Metadata = std::multimap<std::string, std::string>;
using ReceivedMap = std::multimap<grpc::string_ref, grpc::string_ref>;

inline std::string_view ToView(grpc::string_ref text) {
  return {text.data(), text.size()};
}

// Names that are gRPC's own: it writes them itself, or refuses them.
inline bool IsOfGrpc(std::string_view key) {
  return key.substr(0, 5) == "grpc-" || key == "user-agent";
}

// Calls `add` with each key and value in turn, but for gRPC's own.
template <typename Add>
void CopyMetadata(const ReceivedMap& from, Add add) {
  for (const auto& [key, value] : from) {
    if (IsOfGrpc(ToView(key))) continue;
    add(std::string(key.data(), key.size()),
        std::string(value.data(), value.size()));
  }
}

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_METADATA_H_
