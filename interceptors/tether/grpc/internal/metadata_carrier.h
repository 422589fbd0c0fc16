// SPDX-License-Identifier: Apache-2.0
//
// gRPC's metadata as a Carrier, for received metadata and for metadata that is
// about to be sent.

#ifndef TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_
#define TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/propagator.h"

namespace tether::internal {

class PackedHeaders;

// The most metadata, in all, that tether lets a call have. The rest of the 8
// KiB that a peer accepts by default is for gRPC's own headers. A call with
// more fails, and tether must not be the reason.
inline constexpr size_t kMetadataRoom = 8192 - 1024;

// Read-only: Set does nothing. Valid only during the hook that provided the
// map or the array.
//
// Propagators look up several headers, some of which are missing, and a request
// has few. So the constructor walks the tree once, and lookups compare lengths
// in contiguous memory. Lookups of most missing headers, and of copies when
// there are none, only test a bit.
class ReceivedMetadata final : public Carrier {
 public:
  using Map = std::multimap<grpc::string_ref, grpc::string_ref>;
  explicit ReceivedMetadata(const Map& map);
  explicit ReceivedMetadata(const grpc_metadata_array& array);

  // Treats the fields of the packed header (packed_headers.h) as headers of
  // their own, from now on. None of them, if it is malformed or was sent twice.
  enum class Packed { kAbsent, kEmpty, kUnpacked, kMalformed };
  Packed Unpack();

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    if ((key_bits_ & BitOf(key)) == 0 || (index != 0 && !may_have_copies_)) {
      return std::nullopt;
    }
    return Find(key, index);
  }
  void Set(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

 private:
  struct Header {
    std::string_view key, value;
  };
  using Headers = absl::InlinedVector<Header, 12>;

  // Few keys have the same bit by chance: most keys of one length differ in
  // their last character.
  static uint64_t BitOf(std::string_view key) {
    const size_t last = key.empty() ? 0 : static_cast<uint8_t>(key.back());
    return uint64_t{1} << ((key.size() + 3 * last) & 63);
  }
  void NoteKey(std::string_view key) {
    const uint64_t bit = BitOf(key);
    may_have_copies_ |= (key_bits_ & bit) != 0;
    key_bits_ |= bit;
  }
  std::optional<std::string_view> Find(std::string_view key, int index) const;

  // Copies of a key are in the order of their arrival.
  Headers headers_;
  bool sorted_;
  bool may_have_copies_ = false;  // true if two headers have the same bit
  uint64_t key_bits_ = 0;         // the bits of all keys
};

// Keeps the application's own metadata: Set doesn't change a key that exists,
// unless this object has written it.
class SentMetadata final : public Carrier {
 public:
  using Map = std::multimap<std::string, std::string>;
  explicit SentMetadata(Map& map) : map_(map) {}

  // Calls `inject`, which sets headers. Returns false if they together exceed
  // `max_bytes`, counted as in Propagator::MaxInjectBytes. Rethrows exceptions.
  // In both cases, none of the headers that this object has written remains.
  // Call it once. Headers that are set afterwards aren't limited.
  //
  // If `packed` isn't null, `inject` gets it instead of this object. It must
  // pack for this object, which counts its text as a header. The caller sets
  // that header.
  //
  // LimitedCarrier does the same for any carrier. This counts while it writes
  // the headers straight into the map, and needs no bound in advance.
  bool InjectBy(absl::FunctionRef<void(Carrier&)> inject, size_t max_bytes,
                PackedHeaders* packed = nullptr);

  // The same for propagator.Inject.
  bool Inject(const Propagator& propagator, const Context& ctx,
              size_t max_bytes, PackedHeaders* packed = nullptr) {
    return InjectBy([&](Carrier& carrier) { propagator.Inject(ctx, carrier); },
                    max_bytes, packed);
  }

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override;
  void Set(std::string_view key, std::string_view value) override;
  bool Add(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

  const Map& map() const { return map_; }

  // Removes all values of `keys`. Returns the size of all other headers, as
  // HTTP/2 counts it: 32 bytes extra for each, and "-bin" values in base64.
  size_t RemoveAndMeasure(std::initializer_list<std::string_view> keys);

 private:
  // A linear search, because the map's own would have to copy `key` into a
  // std::string. There are few headers.
  Map::iterator Find(std::string_view key) const;

  // Counts one more header and returns true, if it fits.
  bool Take(std::string_view key, std::string_view value);
  void Insert(std::string_view key, std::string_view value);
  void Replace(Map::iterator first, std::string_view value);
  void RemoveWritten(PackedHeaders* packed);

  Map& map_;
  absl::InlinedVector<Map::iterator, 8> written_;  // by this object
  size_t room_ = SIZE_MAX;  // the bytes that Inject may still write
  bool exceeded_ = false;   // by Inject
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_METADATA_CARRIER_H_
