// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/raw_headers.h"

#include "tether/grpc/internal/grpc_version.h"

namespace tether::internal {

#if TETHER_GRPC_HAS_KNOWN_METADATA_MAP

namespace {

// The two members are private. The standard lets an explicit instantiation name
// them ([temp.spec]: access isn't checked there). If a release renames one, or
// changes its type, this doesn't compile.
template <typename Tag, typename Tag::Member member>
struct Reveal {
  friend constexpr typename Tag::Member MemberOf(Tag) { return member; }
};

struct ClientMetadata {
  using Member = grpc::internal::MetadataMap grpc::ServerContextBase::*;
  friend constexpr Member MemberOf(ClientMetadata);
};
template struct Reveal<ClientMetadata,
                       &grpc::ServerContextBase::client_metadata_>;

// True once the multimap has been made.
struct Filled {
  using Member = bool grpc::internal::MetadataMap::*;
  friend constexpr Member MemberOf(Filled);
};
template struct Reveal<Filled, &grpc::internal::MetadataMap::filled_>;

}  // namespace

const grpc_metadata_array* RawHeadersOf(
    grpc::ServerContextBase& server_context) {
  grpc::internal::MetadataMap& map = server_context.*MemberOf(ClientMetadata());
  return map.*MemberOf(Filled()) ? nullptr : map.arr();
}

#else

const grpc_metadata_array* RawHeadersOf(grpc::ServerContextBase&) {
  return nullptr;
}

#endif

}  // namespace tether::internal
