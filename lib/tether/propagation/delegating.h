// SPDX-License-Identifier: Apache-2.0
//
// A propagator that forwards to another one. It is a base class for propagators
// that change one part of another propagator's behaviour.

#ifndef TETHER_PROPAGATION_DELEGATING_H_
#define TETHER_PROPAGATION_DELEGATING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Forwards every call to `inner`. Derive from it and override what differs: a
// propagator written this way forgets no function, MaxInjectBytes included.
//
// Without an `inner` (null) it reads and writes nothing.
//
// Thread safety: any thread. Lifetime: shares `inner`.
//
// Example, a propagator that writes nothing on calls to other companies:
//
//   class ReadOnlyPropagator final : public tether::DelegatingPropagator {
//    public:
//     using DelegatingPropagator::DelegatingPropagator;
//     void Inject(const tether::Context&, tether::Carrier&) const override {}
//   };
class TETHER_EXPORT DelegatingPropagator : public Propagator {
 public:
  explicit DelegatingPropagator(std::shared_ptr<const Propagator> inner);

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;
  int64_t Dropped() const override;

 private:
  const std::shared_ptr<const Propagator> inner_;  // may be null
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_DELEGATING_H_
