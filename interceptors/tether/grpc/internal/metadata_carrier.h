// SPDX-License-Identifier: Apache-2.0
//
// gRPC's metadata as a Carrier, for received metadata and for metadata that is
// about to be sent.

#ifndef TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_
#define TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "tether/propagation/carrier.h"

namespace tether::internal {

// The most metadata, in all, that tether lets a call have. The rest of the 8
// KiB that a peer accepts by default is for gRPC's own headers. A call with
// more fails, and tether must not be the reason.
inline constexpr size_t kMetadataRoom = 8192 - 1024;

// Read-only: Set does nothing. Valid only during the hook that provided the
// map or the array.
//
// Propagators look up several headers, most of which are missing, and a request
// has few. So the constructor walks the tree once, and lookups compare lengths
// in contiguous memory.
class ReceivedMetadata final : public Carrier {
 public:
  using Map = std::multimap<grpc::string_ref, grpc::string_ref>;
  explicit ReceivedMetadata(const Map& map);
  explicit ReceivedMetadata(const grpc_metadata_array& array);

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override;
  void Set(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

 private:
  struct Header {
    std::string_view key, value;
  };
  using Headers = absl::InlinedVector<Header, 12>;
  // Copies of a key are in the order of their arrival.
  Headers headers_;
  bool sorted_;
};

// Keeps the application's own metadata: Set doesn't change a key that exists.
class SentMetadata final : public Carrier {
 public:
  using Map = std::multimap<std::string, std::string>;
  explicit SentMetadata(Map& map) : map_(map) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override;
  void Set(std::string_view key, std::string_view value) override;
  bool Add(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

  const Map& map() const { return map_; }

  // The size of all headers as HTTP/2 counts it: 32 bytes extra for each, and
  // "-bin" values in base64.
  size_t Bytes() const;

  // Removes all values of `key`.
  void Remove(std::string_view key);

 private:
  // A linear search, because the map's own would have to copy `key` into a
  // std::string. There are few headers.
  Map::iterator Find(std::string_view key) const;

  Map& map_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_
