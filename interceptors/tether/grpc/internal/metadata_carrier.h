// gRPC's metadata as a Carrier: what a server received, and what a client is
// about to send.

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

// How much metadata, in all, leaves room for gRPC's own in the 8 KiB that a
// peer takes by default. Beyond those the call fails, which without tether it
// would not.
inline constexpr size_t kMetadataRoom = 8192 - 1024;

// Read only: Set does nothing. Valid during the hook that handed out the map.
//
// Propagators ask for several headers, mostly in vain, and a request has few:
// so one walk over the tree, then comparisons of lengths in a row of memory.
class ReceivedMetadata final : public Carrier {
 public:
  using Map = std::multimap<grpc::string_ref, grpc::string_ref>;
  explicit ReceivedMetadata(const Map& map);

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override;
  void Set(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

 private:
  struct Header {
    std::string_view key, value;
  };
  absl::InlinedVector<Header, 12> headers_;  // sorted
};

// What the application added itself stays: Set doesn't touch a key that is
// there.
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

  // How much there is, as HTTP/2 counts: 32 for each, and base64 for "-bin".
  size_t Bytes() const;

  // Takes out all values of `key`.
  void Remove(std::string_view key);

 private:
  // Without a std::string of `key`, which may need memory. There are few.
  Map::iterator Find(std::string_view key) const;

  Map& map_;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_
