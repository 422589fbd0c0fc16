// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/carrier.h"

#include <utility>

#include "tether/propagation/internal/header_text.h"

namespace tether {

MapCarrier::MapCarrier(const Map& map) {
  for (const auto& [key, value] : map) Add(key, value);
}

MapCarrier::MapCarrier(
    std::initializer_list<std::pair<std::string_view, std::string_view>>
        headers) {
  for (const auto& [key, value] : headers) Add(key, value);
}

std::optional<std::string_view> MapCarrier::Get(std::string_view key,
                                                int index) const {
  if (index < 0) return std::nullopt;
  auto [it, end] = map_.equal_range(key);
  for (; it != end; ++it) {
    if (index-- == 0) return it->second;
  }
  return std::nullopt;
}

void MapCarrier::Set(std::string_view key, std::string_view value) {
  // Copied first: either may be a view of what is about to be erased.
  std::string lower = internal::LowerAscii(key);
  std::string copy(value);
  map_.erase(lower);
  map_.emplace(std::move(lower), std::move(copy));
}

bool MapCarrier::Add(std::string_view key, std::string_view value) {
  map_.emplace(internal::LowerAscii(key), value);
  return true;
}

void MapCarrier::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  for (auto it = map_.begin(); it != map_.end();
       it = map_.upper_bound(it->first)) {
    visit(it->first);
  }
}

}  // namespace tether
