// SPDX-License-Identifier: Apache-2.0
//
// A Propagator turns headers into context values (Extract, on a server) and
// context values into headers (Inject, on a client).
//
// A header crosses a hop only if a propagator names it; all other headers from
// a peer are ignored. Headers are hostile input: a propagator drops and counts
// values that are malformed or too large, and continues without them.

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

// Reads and writes one kind of value and its headers. The servers and channels
// that use a propagator share it as a std::shared_ptr<const Propagator>.
//
// Thread safety: any thread, concurrently. All functions are const, and
// implementations are immutable except for their drop counter.
// Errors: none are reported. Implementations should not throw; if one does,
// CompositePropagator catches the exception.
//
// Example implementation:
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
// HeaderPropagator (header.h) does the same, and checks its input.
// DelegatingPropagator (delegating.h) is a base for propagators that change
// what another one does, and DropCounter (drop_counter.h) counts drops.
class TETHER_EXPORT Propagator {
 public:
  virtual ~Propagator() = default;

  // Returns `ctx` with the values found in `carrier`, or `ctx` itself if
  // `carrier` has no valid values. Never ends the context.
  [[nodiscard]] virtual Context Extract(const Carrier& carrier,
                                        const Context& ctx) const = 0;

  // Writes the values of `ctx` into `carrier`, replacing existing headers of
  // the same names. Headers for values that `ctx` lacks are left unchanged.
  virtual void Inject(const Context& ctx, Carrier& carrier) const = 0;

  // Returns the lower-case names of the headers that this propagator reads and
  // writes. The views are valid for the propagator's lifetime. Call this once,
  // not per request.
  virtual std::vector<std::string_view> Fields() const = 0;

  // Returns an upper bound for the bytes that Inject(ctx, ...) writes, or
  // SIZE_MAX if there is none. Each header counts as in HTTP/2: the sizes of
  // its name and value plus 32, with the values of "...-bin" headers in base64.
  // If LimitedCarrier knows that the headers fit, it doesn't buffer them. Must
  // be cheap; the bound need not be tight.
  virtual size_t MaxInjectBytes(const Context& ctx) const {
    (void)ctx;
    return SIZE_MAX;
  }

  // Returns how many values Extract and Inject have dropped since construction
  // because they were malformed, too large, or repeated with different values
  // when only one is allowed.
  virtual int64_t Dropped() const = 0;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_PROPAGATOR_H_
