// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/limited_carrier.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/injected_bytes.h"

namespace tether {

namespace {

// The size of a header with a name of one letter and no value.
constexpr size_t kMinHeaderBytes = 33;

}  // namespace

// Headers that are buffered until their propagator has finished.
class LimitedCarrier::Held {
 public:
  struct Header {
    std::string key;
    std::string value;
    bool is_added;  // by Add, not Set
  };

  std::vector<Header> headers;
};

bool LimitedCarrier::Inject(const Propagator& propagator, const Context& ctx) {
  exceeded_ = false;
  const size_t max_bytes = propagator.MaxInjectBytes(ctx);
  if (max_bytes == 0) return true;
  if (max_bytes > limits_.max_bytes - bytes_ ||
      max_bytes / kMinHeaderBytes > limits_.max_headers - headers_) {
    return InjectHeld(propagator, ctx);
  }
  propagator.Inject(ctx, *this);
  return !exceeded_;
}

bool LimitedCarrier::InjectHeld(const Propagator& propagator,
                                const Context& ctx) {
  const size_t bytes = bytes_;
  const size_t headers = headers_;
  Held held;
  held_ = &held;
  TETHER_TRY { propagator.Inject(ctx, *this); }
  TETHER_CATCH(...) {
    held_ = nullptr;
    bytes_ = bytes;
    headers_ = headers;
    TETHER_RETHROW;
  }
  held_ = nullptr;
  bool written = !exceeded_;
  if (written) {
    for (const Held::Header& header : held.headers) {
      if (!header.is_added) {
        inner_.Set(header.key, header.value);
      } else if (!inner_.Add(header.key, header.value)) {
        written = false;
      }
    }
  } else {
    bytes_ = bytes;
    headers_ = headers;
  }
  return written;
}

inline bool LimitedCarrier::Take(std::string_view key, std::string_view value) {
  const size_t size = internal::InjectedBytes(key, value.size());
  if (exceeded_ || headers_ == limits_.max_headers ||
      size > limits_.max_bytes - bytes_) {
    exceeded_ = true;
    return false;
  }
  bytes_ += size;
  ++headers_;
  return true;
}

std::optional<std::string_view> LimitedCarrier::Get(std::string_view key,
                                                    int index) const {
  const std::optional<std::string_view> value = inner_.Get(key, index);
  if (held_ == nullptr || value.has_value()) return value;
  for (const Held::Header& header : held_->headers) {
    if (header.key == key && index-- == 0) return header.value;
  }
  return std::nullopt;
}

void LimitedCarrier::Set(std::string_view key, std::string_view value) {
  if (!Take(key, value)) return;
  if (held_ == nullptr) return inner_.Set(key, value);
  SetHeld(key, value);
}

void LimitedCarrier::SetHeld(std::string_view key, std::string_view value) {
  // Copied first, because either may be a view of a header that is erased here.
  Held::Header set = {std::string(key), std::string(value), false};
  auto& headers = held_->headers;
  headers.erase(std::remove_if(headers.begin(), headers.end(),
                               [&set](const Held::Header& header) {
                                 return header.key == set.key;
                               }),
                headers.end());
  headers.push_back(std::move(set));
}

bool LimitedCarrier::Add(std::string_view key, std::string_view value) {
  // If the header doesn't fit, Inject fails. This must still return true: false
  // means that the carrier can't repeat headers.
  if (held_ == nullptr) {
    if (!Take(key, value)) return true;
    return inner_.Add(key, value);
  }
  if (Take(key, value)) {
    held_->headers.push_back({std::string(key), std::string(value), true});
  }
  return true;
}

void LimitedCarrier::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  inner_.ForEachKey(visit);
  if (held_ == nullptr) return;
  std::vector<std::string_view> seen;
  for (const Held::Header& header : held_->headers) {
    if (inner_.Get(header.key).has_value() ||
        std::find(seen.begin(), seen.end(), header.key) != seen.end()) {
      continue;
    }
    seen.push_back(header.key);
    visit(header.key);
  }
}

}  // namespace tether
