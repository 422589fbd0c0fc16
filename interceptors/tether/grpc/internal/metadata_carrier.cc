// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/metadata_carrier.h"

#include <grpc/slice.h>

#include <algorithm>
#include <iterator>

#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/packed_headers.h"
#include "tether/propagation/internal/sole_value.h"

namespace tether::internal {
namespace {

std::string_view View(const grpc::string_ref& s) {
  return {s.data(), s.size()};
}

std::string_view View(const grpc_slice& s) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(s)),
          GRPC_SLICE_LENGTH(s)};
}

}  // namespace

ReceivedMetadata::ReceivedMetadata(const Map& map) : sorted_(true) {
  headers_.resize(map.size());
  Header* header = headers_.data();
  for (const auto& [key, value] : map) {
    *header = {View(key), View(value)};
    NoteKey(header++->key);
  }
}

ReceivedMetadata::ReceivedMetadata(const grpc_metadata_array& array)
    : sorted_(array.count < 2) {
  headers_.resize(array.count);
  for (size_t i = 0; i < array.count; ++i) {
    headers_[i] = {View(array.metadata[i].key), View(array.metadata[i].value)};
    NoteKey(headers_[i].key);
  }
}

ReceivedMetadata::Packed ReceivedMetadata::Unpack() {
  const SoleValue packed = GetSole(*this, kPackedHeader);
  if (packed.repeated) return Packed::kMalformed;
  if (!packed.value.has_value()) return Packed::kAbsent;
  const bool good = ForEachPacked(
      *packed.value, [this](std::string_view key, std::string_view value) {
        headers_.push_back({key, value});
        NoteKey(key);
        sorted_ = false;
      });
  if (!good) return Packed::kMalformed;
  return *packed.value == kPackedVersion ? Packed::kEmpty : Packed::kUnpacked;
}

std::optional<std::string_view> ReceivedMetadata::Find(std::string_view key,
                                                       int index) const {
  for (const Header& header : headers_) {
    if (header.key != key) continue;
    if (index-- == 0) return header.value;
  }
  return std::nullopt;
}

void ReceivedMetadata::Set(std::string_view, std::string_view) {}

void ReceivedMetadata::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  if (!sorted_) {
    ReceivedMetadata copy(*this);
    std::stable_sort(
        copy.headers_.begin(), copy.headers_.end(),
        [](const Header& a, const Header& b) { return a.key < b.key; });
    copy.sorted_ = true;
    return copy.ForEachKey(visit);
  }
  const Header* former = nullptr;
  for (const Header& header : headers_) {
    if (former == nullptr || former->key != header.key) visit(header.key);
    former = &header;
  }
}

SentMetadata::Map::iterator SentMetadata::Find(std::string_view key) const {
  return std::find_if(map_.begin(), map_.end(), [key](const auto& header) {
    return header.first == key;
  });
}

std::optional<std::string_view> SentMetadata::Get(std::string_view key,
                                                  int index) const {
  if (index < 0) return std::nullopt;
  for (auto it = Find(key); it != map_.end() && it->first == key; ++it) {
    if (index-- == 0) return it->second;
  }
  return std::nullopt;
}

inline bool SentMetadata::Take(std::string_view key, std::string_view value) {
  const size_t size = InjectedBytes(key, value.size());
  if (size > room_) exceeded_ = true;
  if (exceeded_) return false;
  if (room_ != SIZE_MAX) room_ -= size;
  return true;
}

inline void SentMetadata::Insert(std::string_view key, std::string_view value) {
  // Propagators tend to write in ascending order. If the hint is wrong, it
  // costs one comparison. Reserved first, so that no header goes unnoticed.
  if (written_.size() == written_.capacity()) {
    written_.reserve(2 * written_.size());
  }
  written_.push_back(map_.emplace_hint(map_.end(), key, value));
}

void SentMetadata::Set(std::string_view key, std::string_view value) {
  if (!Take(key, value)) return;
  const Map::iterator first = Find(key);
  if (first == map_.end()) return Insert(key, value);
  // Only this object's own headers; the application's come before them.
  if (std::find(written_.begin(), written_.end(), first) != written_.end()) {
    Replace(first, value);
  }
}

bool SentMetadata::Add(std::string_view key, std::string_view value) {
  if (Take(key, value)) Insert(key, value);
  // If the header doesn't fit, Inject fails. This must still return true: false
  // means that the carrier can't repeat headers.
  return true;
}

// Removes all values of the key but `first`. All of them are this object's.
void SentMetadata::Replace(Map::iterator first, std::string_view value) {
  // Copied first, because it may be a view of what is replaced.
  first->second = std::string(value);
  for (auto copy = std::next(first);
       copy != map_.end() && copy->first == first->first;) {
    written_.erase(std::find(written_.begin(), written_.end(), copy));
    copy = map_.erase(copy);
  }
}

void SentMetadata::RemoveWritten(PackedHeaders* packed) {
  for (const Map::iterator header : written_) map_.erase(header);
  written_.clear();
  if (packed != nullptr) packed->Clear();
}

bool SentMetadata::InjectBy(absl::FunctionRef<void(Carrier&)> inject,
                            size_t max_bytes, PackedHeaders* packed) {
  room_ = max_bytes;
  TETHER_TRY {
    if (packed == nullptr) {
      inject(*this);
    } else {
      inject(*packed);
      if (!packed->empty()) Take(kPackedHeader, packed->text());
    }
  }
  TETHER_CATCH(...) {
    RemoveWritten(packed);
    TETHER_RETHROW;
  }
  const bool fits = !exceeded_;
  if (!fits) RemoveWritten(packed);
  room_ = SIZE_MAX;
  exceeded_ = false;
  return fits;
}

void SentMetadata::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  for (auto it = map_.begin(); it != map_.end();
       it = map_.upper_bound(it->first)) {
    visit(it->first);
  }
}

size_t SentMetadata::RemoveAndMeasure(
    std::initializer_list<std::string_view> keys) {
  size_t bytes = 0;
  for (auto it = map_.begin(); it != map_.end();) {
    if (std::find(keys.begin(), keys.end(), it->first) != keys.end()) {
      it = map_.erase(it);
      continue;
    }
    bytes += InjectedBytes(it->first, it->second.size());
    ++it;
  }
  return bytes;
}

}  // namespace tether::internal
