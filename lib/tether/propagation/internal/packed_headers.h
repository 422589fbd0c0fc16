// SPDX-License-Identifier: Apache-2.0
//
// The header `tether`: several headers in one. Internal.
//
// gRPC spends thousands of instructions on each header, whatever it contains.
// So a call that carries its values in one header costs less.
//
// Wire format, version 1:
//
//   tether = "1" *16( ";" name "=" length ":" value )
//   name   = "t" / "r" / "p" / "s" / "i" / "b"    ; see kAliases
//            / 2*64( %x30-39 / %x61-7a / "." / "_" / "-" )
//   length = "0" / ( %x31-39 *3DIGIT )            ; of the value, in bytes
//
//   tether: 1;t=7:1500000;i=7:b7c1-42
//
// The lengths make every value safe, whatever it contains. A receiver treats
// the fields as if they were headers. Headers that end in "-bin" have arbitrary
// bytes, and are never packed.

#ifndef TETHER_PROPAGATION_INTERNAL_PACKED_HEADERS_H_
#define TETHER_PROPAGATION_INTERNAL_PACKED_HEADERS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"

namespace tether::internal {

inline constexpr std::string_view kPackedHeader = "tether";

// What a packed header without a field contains.
inline constexpr std::string_view kPackedVersion = "1";

inline constexpr size_t kMaxPackedFields = 16;

// Calls `visit` with the name and the value of each field of `header`, in
// order. If `header` is malformed, visits nothing and returns false. The views
// point into `header` or to constants. Accepts any bytes.
TETHER_EXPORT bool ForEachPacked(
    std::string_view header,
    absl::FunctionRef<void(std::string_view name, std::string_view value)>
        visit);

// Packs the headers that are set. What can't be packed is set in `inner`:
// "-bin" headers, names and values that the format can't have, headers that
// `inner` has already, and repeated ones.
//
// Not thread-safe: use one for each call. Lifetime: `inner` must outlive it.
//
// Example:
//
//   PackedHeaders packed(call_headers);
//   propagator.Inject(ctx, packed);
//   if (!packed.empty()) call_headers.Set(kPackedHeader, packed.text());
class TETHER_EXPORT PackedHeaders final : public Carrier {
 public:
  explicit PackedHeaders(Carrier& inner) : inner_(inner) {}

  // Those of `inner` come first.
  std::optional<std::string_view> Get(std::string_view key,
                                      int index = 0) const override;
  void Set(std::string_view key, std::string_view value) override;
  bool Add(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

  bool empty() const { return text_.size() == kPackedVersion.size(); }

  // The value of the packed header.
  const std::string& text() const { return text_; }
  // The same, moved out. The object can't be used afterwards.
  std::string TakeText() { return std::move(text_); }

  // Removes all fields. What `inner` has got stays there.
  void Clear();

 private:
  // False for most keys that aren't packed, without a search.
  bool MayHave(std::string_view key) const {
    return (names_ & BitOf(key)) != 0;
  }
  static uint32_t BitOf(std::string_view key) {
    return uint32_t{1} << (key.size() & 31);
  }
  // Returns `text`, or a copy of it in `copy` if it is a part of text_, which
  // is about to change.
  std::string_view Own(std::string_view text, std::string& copy) const;
  std::optional<std::string_view> Find(std::string_view key) const;
  // Removes the field `key`, if there is one.
  void Erase(std::string_view key);

  Carrier& inner_;
  std::string text_{kPackedVersion};
  size_t fields_ = 0;
  uint32_t names_ = 0;  // the bits of all fields' names
};

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_PACKED_HEADERS_H_
