// SPDX-License-Identifier: Apache-2.0
//
// Reads the files of a configuration's TLS.

#ifndef TETHER_SIDECAR_CONFIG_TLS_H_
#define TETHER_SIDECAR_CONFIG_TLS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>

#include "sidecar/config_errors.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {

template <typename Credentials>
struct ReadCredentials {
  std::shared_ptr<Credentials> credentials;  // null: plaintext, or an error
  std::string id;                            // EgressOptions::credentials_id
};

// Of a port.
ReadCredentials<grpc::ServerCredentials> ReadServerTls(const v1::ServerTls& tls,
                                                       const ConfigPlace& place,
                                                       ConfigErrors& errors);

// Of connections to `target`. If that begins with "xds:", the control plane may
// replace the credentials; then `tls` may be null.
ReadCredentials<grpc::ChannelCredentials> ReadClientTls(
    const v1::ClientTls* tls, std::string_view target, const ConfigPlace& place,
    ConfigErrors& errors);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONFIG_TLS_H_
