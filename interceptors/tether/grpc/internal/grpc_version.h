// SPDX-License-Identifier: Apache-2.0
//
// Every difference between releases of gRPC that tether has to know, each with
// the release where it was seen and the reason. Nothing else in tether asks for
// a release at compile time. Tests, which may run against another release than
// the headers', ask testing/grpc_release.h.
//
// Tested: 1.51.1 and 1.83.0.

#ifndef TETHER_GRPC_INTERNAL_GRPC_VERSION_H_
#define TETHER_GRPC_INTERNAL_GRPC_VERSION_H_

// The release of the headers; 1.51 has this file, some earlier ones don't.
#if __has_include(<grpcpp/version_info.h>)
#include <grpcpp/version_info.h>
#endif

#ifdef GRPC_CPP_VERSION_MAJOR
#define TETHER_GRPC_AT_LEAST(major, minor) \
  (GRPC_CPP_VERSION_MAJOR > (major) ||     \
   (GRPC_CPP_VERSION_MAJOR == (major) && GRPC_CPP_VERSION_MINOR >= (minor)))
#else
#define TETHER_GRPC_AT_LEAST(major, minor) 0
#endif

// grpc_insecure_credentials_create. 1.51 declares it in grpc_security.h; 1.83
// in credentials.h, which grpc_security.h doesn't include.
#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h>
#endif

// 1 if grpc::internal::MetadataMap, which keeps a request's headers, and the
// member of grpc::ServerContextBase that has it are known (raw_headers.cc):
// both are the same from 1.51 to 1.83. They are private, so with a newer
// release tether reads the std::multimap instead, which is public, until the
// release is raised here. raw_headers_test tells whether that works.
#define TETHER_GRPC_HAS_KNOWN_METADATA_MAP \
  (TETHER_GRPC_AT_LEAST(1, 51) && !TETHER_GRPC_AT_LEAST(1, 84))

namespace tether::internal {

// True if a child call learns of its parent's end only on a channel that has a
// transport. That is so in 1.83's promise-based client stack (the experiment
// "ph2_client", off by default): there, a call that waits for a connection
// ignores its parent. The older stack informs it on any channel. A transport
// costs less in 1.83 (13 us a watch instead of 19) and more in 1.51 (20 us
// instead of 7).
inline constexpr bool kChildCallsNeedTransport = TETHER_GRPC_AT_LEAST(1, 83);

// True if the completion queue of the watches polls. Without that, a watch is
// told of its end all the same; but this has been tried in 1.51 only.
inline constexpr bool kWatchesPoll = TETHER_GRPC_AT_LEAST(1, 52);

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_GRPC_VERSION_H_
