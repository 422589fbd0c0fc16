// A wall around the headers of one call: what propagators write into it stays
// below a limit.

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

// Of all headers that are written for one call.
struct InjectLimits {
  // A header counts as in Propagator::MaxInjectBytes. By default half of what
  // gRPC takes in all (8 KiB, or the call fails): gRPC itself and the
  // application need some.
  size_t max_bytes = 4096;
  size_t max_headers = 64;
};

// Lets propagators write to another carrier, within limits: all headers that
// one of them writes for a call, or none. Nothing is cut.
//
// Where a propagator says how much it writes at most (MaxInjectBytes), and that
// much is left, its headers go straight through. Those of others are held until
// it is done. Meanwhile it sees those headers, but for such as the carrier had
// already.
//
// Not thread-safe: for one call. Lifetime: `inner` must outlive it.
//
// Example, of what CompositePropagator does:
//
//   tether::LimitedCarrier limited(call_headers);
//   for (const auto& part : parts) {
//     if (!limited.Inject(*part, ctx)) ++dropped;
//   }
class TETHER_EXPORT LimitedCarrier final : public Carrier {
 public:
  explicit LimitedCarrier(Carrier& inner, InjectLimits limits = {})
      : inner_(inner), limits_(limits) {}

  // Calls propagator.Inject(ctx, *this). False if it wanted to write more than
  // was left, or the carrier couldn't repeat a header: then this is as if it
  // hadn't been called (but for headers that went straight through after all,
  // where MaxInjectBytes was wrong). Throws what the propagator throws.
  bool Inject(const Propagator& propagator, const Context& ctx);

  // What has been written so far. A header that was set twice, or that the
  // carrier didn't take, counts each time.
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

  // Whether a header of `bytes` more fits, and if so, counts it.
  bool Take(std::string_view key, std::string_view value);

  Carrier& inner_;
  const InjectLimits limits_;
  size_t bytes_ = 0;
  size_t headers_ = 0;
  bool exceeded_ = false;  // by the propagator that is writing
  Held* held_ = nullptr;   // null: headers go straight through
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_LIMITED_CARRIER_H_
