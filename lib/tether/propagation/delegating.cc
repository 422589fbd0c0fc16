// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/delegating.h"

#include <utility>

namespace tether {

DelegatingPropagator::DelegatingPropagator(
    std::shared_ptr<const Propagator> inner)
    : inner_(std::move(inner)) {}

Context DelegatingPropagator::Extract(const Carrier& carrier,
                                      const Context& ctx) const {
  return inner_ == nullptr ? ctx : inner_->Extract(carrier, ctx);
}

void DelegatingPropagator::Inject(const Context& ctx, Carrier& carrier) const {
  if (inner_ != nullptr) inner_->Inject(ctx, carrier);
}

std::vector<std::string_view> DelegatingPropagator::Fields() const {
  if (inner_ == nullptr) return {};
  return inner_->Fields();
}

size_t DelegatingPropagator::MaxInjectBytes(const Context& ctx) const {
  return inner_ == nullptr ? 0 : inner_->MaxInjectBytes(ctx);
}

int64_t DelegatingPropagator::Dropped() const {
  return inner_ == nullptr ? 0 : inner_->Dropped();
}

}  // namespace tether
