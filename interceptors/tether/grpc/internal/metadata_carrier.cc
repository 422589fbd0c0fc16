// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/metadata_carrier.h"

#include <grpc/slice.h>

#include <algorithm>

#include "tether/propagation/internal/injected_bytes.h"

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
  for (const auto& [key, value] : map) {
    headers_.push_back({View(key), View(value)});
  }
}

ReceivedMetadata::ReceivedMetadata(const grpc_metadata_array& array)
    : sorted_(array.count < 2) {
  headers_.reserve(array.count);
  for (size_t i = 0; i < array.count; ++i) {
    headers_.push_back(
        {View(array.metadata[i].key), View(array.metadata[i].value)});
  }
}

std::optional<std::string_view> ReceivedMetadata::Get(std::string_view key,
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

void SentMetadata::Set(std::string_view key, std::string_view value) {
  if (Find(key) == map_.end()) map_.emplace(key, value);
}

bool SentMetadata::Add(std::string_view key, std::string_view value) {
  map_.emplace(key, value);
  return true;
}

void SentMetadata::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  for (auto it = map_.begin(); it != map_.end();
       it = map_.upper_bound(it->first)) {
    visit(it->first);
  }
}

size_t SentMetadata::Bytes() const {
  size_t bytes = 0;
  for (const auto& [key, value] : map_)
    bytes += InjectedBytes(key, value.size());
  return bytes;
}

void SentMetadata::Remove(std::string_view key) {
  for (auto it = Find(key); it != map_.end() && it->first == key;) {
    it = map_.erase(it);
  }
}

}  // namespace tether::internal
