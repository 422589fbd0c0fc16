#include "tether/propagation/composite.h"

#include <algorithm>
#include <utility>

namespace tether {
namespace {

std::vector<std::shared_ptr<const Propagator>> WithoutNulls(
    std::vector<std::shared_ptr<const Propagator>> parts) {
  parts.erase(std::remove(parts.begin(), parts.end(), nullptr), parts.end());
  return parts;
}

}  // namespace

CompositePropagator::CompositePropagator(
    std::vector<std::shared_ptr<const Propagator>> parts)
    : parts_(WithoutNulls(std::move(parts))) {}

Context CompositePropagator::Extract(const Carrier& carrier,
                                     const Context& ctx) const {
  Context result = ctx;
  for (const auto& part : parts_) {
    try {
      result = part->Extract(carrier, result);
    } catch (...) {
      CountException();
    }
  }
  return result;
}

void CompositePropagator::Inject(const Context& ctx, Carrier& carrier) const {
  for (const auto& part : parts_) {
    try {
      part->Inject(ctx, carrier);
    } catch (...) {
      CountException();
    }
  }
}

std::vector<std::string_view> CompositePropagator::Fields() const {
  std::vector<std::string_view> all;
  for (const auto& part : parts_) {
    for (const std::string_view field : part->Fields()) {
      if (std::find(all.begin(), all.end(), field) == all.end()) {
        all.push_back(field);
      }
    }
  }
  return all;
}

int64_t CompositePropagator::Dropped() const {
  int64_t sum = exceptions_.load(std::memory_order_relaxed);
  for (const auto& part : parts_) sum += part->Dropped();
  return sum;
}

}  // namespace tether
