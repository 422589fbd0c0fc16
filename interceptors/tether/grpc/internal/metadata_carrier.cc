#include "tether/grpc/internal/metadata_carrier.h"

namespace tether::internal {
namespace {

std::string_view View(const grpc::string_ref& s) {
  return {s.data(), s.size()};
}
std::string_view View(const std::string& s) { return s; }

template <typename Map, typename Key>
std::optional<std::string_view> GetFrom(const Map& map, const Key& key,
                                        int index) {
  auto [it, end] = map.equal_range(key);
  for (; it != end; ++it, --index) {
    if (index == 0) return View(it->second);
  }
  return std::nullopt;
}

template <typename Map>
void VisitKeys(const Map& map,
               absl::FunctionRef<void(std::string_view)> visit) {
  for (auto it = map.begin(); it != map.end();
       it = map.upper_bound(it->first)) {
    visit(View(it->first));
  }
}

}  // namespace

std::optional<std::string_view> ReceivedMetadata::Get(std::string_view key,
                                                      int index) const {
  return GetFrom(map_, grpc::string_ref(key.data(), key.size()), index);
}

void ReceivedMetadata::Set(std::string_view, std::string_view) {}

void ReceivedMetadata::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  VisitKeys(map_, visit);
}

std::optional<std::string_view> SentMetadata::Get(std::string_view key,
                                                  int index) const {
  return GetFrom(map_, std::string(key), index);
}

void SentMetadata::Set(std::string_view key, std::string_view value) {
  std::string k(key);
  const auto next = map_.lower_bound(k);
  if (next == map_.end() || next->first != k) {
    map_.emplace_hint(next, std::move(k), value);
  }
}

void SentMetadata::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  VisitKeys(map_, visit);
}

}  // namespace tether::internal
