// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/packed_request.h"

#include "tether/grpc/internal/counters.h"
#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/packed_headers.h"

namespace tether::internal {

bool UnpackHeaders(ReceivedMetadata& headers) {
  switch (headers.Unpack()) {
    case ReceivedMetadata::Packed::kEmpty:
      return true;
    case ReceivedMetadata::Packed::kMalformed:
      CountEvent(RpcEvent::kBadPacked);
      return false;
    case ReceivedMetadata::Packed::kAbsent:
    case ReceivedMetadata::Packed::kUnpacked:
      return false;
  }
  return false;
}

void SayThatItUnpacks(SentMetadata::Map& trailing_metadata) noexcept {
  TETHER_TRY { trailing_metadata.emplace(kPackedHeader, kPackedVersion); }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
}

}  // namespace tether::internal
