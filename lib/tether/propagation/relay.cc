// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/relay.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/injected_bytes.h"

namespace tether {
namespace {

// Headers in the order of their arrival. The values of a header are adjacent.
struct Relayed {
  struct Value {
    std::string name;
    std::string text;
  };
  std::vector<Value> values;
};

constexpr Key<Relayed> kRelayed{"relayed"};

std::vector<std::string> LegalNames(const std::vector<std::string>& names) {
  std::vector<std::string> legal;
  for (const std::string& name : names) {
    std::string lower = internal::HeaderNameOrThrow("RelayPropagator", name);
    if (std::find(legal.begin(), legal.end(), lower) == legal.end()) {
      legal.push_back(std::move(lower));
    }
  }
  return legal;
}

void RemoveHeader(Relayed& relayed, std::string_view name) {
  auto& values = relayed.values;
  values.erase(std::remove_if(values.begin(), values.end(),
                              [name](const Relayed::Value& value) {
                                return value.name == name;
                              }),
               values.end());
}

// Returns false if the carrier can't repeat headers.
template <typename It>
bool AddAll(It it, It end, Carrier& carrier) {
  for (; it != end; ++it) {
    if (!carrier.Add(it->name, it->text)) return false;
  }
  return true;
}

}  // namespace

RelayPropagator::RelayPropagator(const std::vector<std::string>& headers,
                                 RelayLimits limits)
    : headers_(LegalNames(headers)), limits_(limits) {}

Context RelayPropagator::Extract(const Carrier& carrier,
                                 const Context& ctx) const {
  // Most requests have none of the headers: allocate nothing then.
  std::optional<Relayed> relayed;
  size_t bytes = 0;
  for (const std::string& name : headers_) {
    std::optional<std::string_view> value = carrier.Get(name);
    if (!value.has_value()) continue;
    if (!relayed.has_value()) {
      const Relayed* before = ctx.Value(kRelayed);
      relayed = before == nullptr ? Relayed() : *before;
    }
    RemoveHeader(*relayed, name);
    const bool is_binary = internal::IsBinaryHeaderName(name);
    const size_t bytes_before = bytes;
    const size_t values_before = relayed->values.size();
    do {
      bytes += value->size();
      const size_t index = relayed->values.size() - values_before;
      if (value->size() > limits_.max_value_bytes ||
          bytes > limits_.max_bytes || index == limits_.max_values ||
          !(is_binary || internal::IsPrintableAscii(*value))) {
        dropped_.Add(name, "over the RelayLimits, or not printable ASCII");
        relayed->values.resize(values_before);
        bytes = bytes_before;
        break;
      }
      relayed->values.push_back({name, std::string(*value)});
      value = carrier.Get(name, static_cast<int>(index) + 1);
    } while (value.has_value());
  }
  if (!relayed.has_value()) return ctx;
  return WithValue(ctx, kRelayed, *std::move(relayed));
}

void RelayPropagator::Inject(const Context& ctx, Carrier& carrier) const {
  const Relayed* relayed = ctx.Value(kRelayed);
  if (relayed == nullptr) return;
  const std::vector<Relayed::Value>& values = relayed->values;
  for (auto it = values.begin(); it != values.end();) {
    const std::string& name = it->name;
    const auto end = std::find_if(
        it, values.end(),
        [&name](const Relayed::Value& value) { return value.name != name; });
    const bool is_listed =
        std::find(headers_.begin(), headers_.end(), name) != headers_.end();
    if (is_listed && !carrier.Get(name).has_value()) {
      if (end - it == 1) {
        carrier.Set(name, it->text);
      } else if (!AddAll(it, end, carrier)) {
        dropped_.Add();
      }
    }
    it = end;
  }
}

std::vector<std::string_view> RelayPropagator::Fields() const {
  return {headers_.begin(), headers_.end()};
}

size_t RelayPropagator::MaxInjectBytes(const Context& ctx) const {
  const Relayed* relayed = ctx.Value(kRelayed);
  if (relayed == nullptr) return 0;
  size_t bytes = 0;
  for (const Relayed::Value& value : relayed->values) {
    bytes += internal::InjectedBytes(value.name, value.text.size());
  }
  return bytes;
}

int64_t RelayPropagator::Dropped() const { return dropped_.count(); }

}  // namespace tether
