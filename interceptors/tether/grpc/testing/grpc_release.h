// SPDX-License-Identifier: Apache-2.0
//
// The release of gRPC that the tests run against, for expectations about gRPC's
// own behaviour. The differences that tether itself handles are in
// internal/grpc_version.h.

#ifndef TETHER_GRPC_TESTING_GRPC_RELEASE_H_
#define TETHER_GRPC_TESTING_GRPC_RELEASE_H_

#include <grpcpp/grpcpp.h>

#include <cstdio>

namespace tether::testing {

// True if the library, and not only its headers, is `major`.`minor` or later.
inline bool GrpcIsAtLeast(int major, int minor) {
  int has_major = 0;
  int has_minor = 0;
  std::sscanf(grpc::Version().c_str(), "%d.%d", &has_major, &has_minor);
  return has_major > major || (has_major == major && has_minor >= minor);
}

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_GRPC_RELEASE_H_
