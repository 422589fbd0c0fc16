// A Propagator turns headers into values of a context (Extract, on a server)
// and values of a context into headers (Inject, on a client).
//
// Nothing crosses a hop unless a propagator names it: what else a peer sends is
// ignored. What it does send is hostile until checked; a propagator drops what
// is malformed or too large, counts it, and goes on without it.

#ifndef TETHER_PROPAGATION_PROPAGATOR_H_
#define TETHER_PROPAGATION_PROPAGATOR_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"

namespace tether {

// One kind of value, and its headers. Kept in a std::shared_ptr<const
// Propagator> by all the servers and channels that use it.
//
// Thread safety: any thread, at the same time: all calls are const and
// implementations are immutable, but for their counter.
// Errors: none are reported. Implementations should not throw; where one does
// all the same, CompositePropagator contains it.
//
// Example, of an implementation:
//
//   class TenantPropagator final : public tether::Propagator {
//     tether::Context Extract(const tether::Carrier& carrier,
//                             const tether::Context& ctx) const override {
//       auto tenant = carrier.Get("x-tenant");
//       if (!tenant) return ctx;
//       return tether::WithValue(ctx, kTenant, std::string(*tenant));
//     }
//     ...
//
// which is what HeaderPropagator (header.h) does, with the checks.
class TETHER_EXPORT Propagator {
 public:
  virtual ~Propagator() = default;

  // Returns `ctx` with the values that `carrier` has; `ctx` itself where it has
  // none that are good. Never ends the context.
  [[nodiscard]] virtual Context Extract(const Carrier& carrier,
                                        const Context& ctx) const = 0;

  // Writes the values that `ctx` has into `carrier`, in the place of what is
  // there under the same headers. What `ctx` has not leaves `carrier` as it is.
  virtual void Inject(const Context& ctx, Carrier& carrier) const = 0;

  // The headers that this reads and writes, in lower case. The views are valid
  // as long as the propagator is. Meant to be called once, not per request.
  virtual std::vector<std::string_view> Fields() const = 0;

  // At most how many bytes Inject(ctx, ...) writes; SIZE_MAX: it can't be told.
  // A header counts as HTTP/2 does: its name, its value and 32 more; of one
  // named "...-bin" the value in base64. Where LimitedCarrier knows that there
  // is room, the headers needn't wait until all are there. Meant to be cheap:
  // a bound is enough.
  virtual size_t MaxInjectBytes(const Context& ctx) const {
    (void)ctx;
    return SIZE_MAX;
  }

  // How many values Extract and Inject have dropped since construction:
  // malformed, too large, or repeated with another value where only one makes
  // sense.
  virtual int64_t Dropped() const = 0;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_PROPAGATOR_H_
