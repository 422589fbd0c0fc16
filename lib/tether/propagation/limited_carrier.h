// SPDX-License-Identifier: Apache-2.0
//
// Caps the size of the headers that propagators write for one call.

#ifndef TETHER_PROPAGATION_LIMITED_CARRIER_H_
#define TETHER_PROPAGATION_LIMITED_CARRIER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Limits for all headers that are written for one call.
struct InjectLimits {
  // Headers count as in Propagator::MaxInjectBytes. gRPC accepts 8 KiB in total
  // and fails calls with more. The default is half of that, because gRPC and
  // the application write headers too.
  size_t max_bytes = 4096;
  size_t max_headers = 64;
};

// Writes the headers of propagators to another carrier, within limits. Either
// all headers of a propagator are written or none. Nothing is truncated.
//
// If MaxInjectBytes shows that a propagator's headers fit, they are written
// immediately. Otherwise they are buffered until Inject returns. Meanwhile Get
// shows the buffered headers, except those that `inner` has too.
//
// Not thread-safe: use one for each call. Lifetime: `inner` must outlive it.
//
// Example, as in CompositePropagator:
//
//   tether::LimitedCarrier limited(call_headers);
//   for (const auto& part : parts) {
//     if (!limited.Inject(*part, ctx)) ++dropped;
//   }
class TETHER_EXPORT LimitedCarrier final : public Carrier {
 public:
  explicit LimitedCarrier(Carrier& inner, InjectLimits limits = {})
      : inner_(inner), limits_(limits) {}

  // Calls propagator.Inject(ctx, *this). Returns false, and writes nothing, if
  // the headers exceed the limits or if the carrier couldn't repeat a header.
  // (If MaxInjectBytes was wrong, some headers may have been written.)
  // Rethrows exceptions of the propagator.
  bool Inject(const Propagator& propagator, const Context& ctx);

  // The bytes and the number of headers written so far. Setting a header twice
  // counts twice, and so does a header that the carrier rejected.
  size_t bytes() const { return bytes_; }
  size_t headers() const { return headers_; }

  std::optional<std::string_view> Get(std::string_view key,
                                      int index = 0) const override;
  void Set(std::string_view key, std::string_view value) override;
  bool Add(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

 private:
  class Held;

  // Inject, for headers that may not fit.
  bool InjectHeld(const Propagator& propagator, const Context& ctx);
  void SetHeld(std::string_view key, std::string_view value);

  // Counts one more header and returns true, if it fits.
  bool Take(std::string_view key, std::string_view value);

  Carrier& inner_;
  const InjectLimits limits_;
  size_t bytes_ = 0;
  size_t headers_ = 0;
  bool exceeded_ = false;  // by the current propagator
  Held* held_ = nullptr;   // null: headers are written immediately
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_LIMITED_CARRIER_H_
