// Several propagators as one.

#ifndef TETHER_PROPAGATION_COMPOSITE_H_
#define TETHER_PROPAGATION_COMPOSITE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Runs its parts in the order given. Where two read the same value, or write
// the same header, the last one wins.
//
// What they write for a call stays within `limits`, all of them together: a
// part that would exceed them writes none of its headers, and that is counted.
// So put what matters most first.
//
// It also is the wall around them: what a part throws is caught and counted,
// and the others run. A part that throws in Extract has then added nothing; one
// that throws in Inject may have written some of its headers, if it overrides
// MaxInjectBytes.
//
// Null parts are left out. No parts at all make a propagator that does nothing.
//
// Thread safety: any thread. Lifetime: shares its parts, which may be used
// elsewhere too.
//
// Example:
//
//   auto propagator = std::make_shared<tether::CompositePropagator>(
//       std::vector<std::shared_ptr<const tether::Propagator>>{
//           std::make_shared<tether::TraceContextPropagator>(),
//           std::make_shared<tether::RequestIdPropagator>()});
class TETHER_EXPORT CompositePropagator final : public Propagator {
 public:
  explicit CompositePropagator(
      std::vector<std::shared_ptr<const Propagator>> parts,
      InjectLimits limits = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;

  // Those of all parts, each once, in order.
  std::vector<std::string_view> Fields() const override;

  size_t MaxInjectBytes(const Context& ctx) const override;

  // The sum over its parts, and one for each exception and each time that a
  // part exceeded the limits. A part that is in several composites counts in
  // all of them.
  int64_t Dropped() const override;

 private:
  void CountDrop() const { dropped_.fetch_add(1, std::memory_order_relaxed); }

  const std::vector<std::shared_ptr<const Propagator>> parts_;
  const InjectLimits limits_;
  mutable std::atomic<int64_t> dropped_{0};
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_COMPOSITE_H_
