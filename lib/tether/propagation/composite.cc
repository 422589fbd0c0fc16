// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/composite.h"

#include <algorithm>
#include <utility>

#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/propagation_notes.h"

namespace tether {
namespace {

std::vector<std::shared_ptr<const Propagator>> WithoutNulls(
    std::vector<std::shared_ptr<const Propagator>> parts) {
  parts.erase(std::remove(parts.begin(), parts.end(), nullptr), parts.end());
  return parts;
}

}  // namespace

CompositePropagator::CompositePropagator(
    std::vector<std::shared_ptr<const Propagator>> parts, InjectLimits limits)
    : parts_(WithoutNulls(std::move(parts))), limits_(limits) {}

Context CompositePropagator::Extract(const Carrier& carrier,
                                     const Context& ctx) const {
  Context result = ctx;
  for (const auto& part : parts_) {
    const internal::ScopedPart scope(*part);
    TETHER_TRY { result = part->Extract(carrier, result); }
    TETHER_CATCH(...) { dropped_.Add("", "it threw an exception"); }
  }
  return result;
}

void CompositePropagator::Inject(const Context& ctx, Carrier& carrier) const {
  LimitedCarrier limited(carrier, limits_);
  for (const auto& part : parts_) {
    const internal::ScopedPart scope(*part);
    TETHER_TRY {
      if (!limited.Inject(*part, ctx)) {
        dropped_.Add("", "too large for the InjectLimits");
      }
    }
    TETHER_CATCH(...) { dropped_.Add("", "it threw an exception"); }
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

size_t CompositePropagator::MaxInjectBytes(const Context& ctx) const {
  size_t sum = 0;
  for (const auto& part : parts_) {
    TETHER_TRY { sum = internal::AddBytes(sum, part->MaxInjectBytes(ctx)); }
    TETHER_CATCH(...) {  // counted by Inject, which calls it again
    }
  }
  return std::min(sum, limits_.max_bytes);
}

int64_t CompositePropagator::Dropped() const {
  int64_t sum = dropped_.count();
  for (const auto& part : parts_) sum += part->Dropped();
  return sum;
}

}  // namespace tether
