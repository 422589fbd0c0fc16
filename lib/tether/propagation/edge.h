// For services that strangers can call: what they send is not believed.

#ifndef TETHER_PROPAGATION_EDGE_H_
#define TETHER_PROPAGATION_EDGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/delegating.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/trace_context.h"

namespace tether {

struct EdgeOptions {
  // Whether a trace goes on that began outside (W3C and B3). If not, a new one
  // starts with each request, without the caller's `tracestate`, so that nobody
  // outside can join traces, name them, or have them sampled.
  bool keep_trace = false;

  // Whether `x-request-id` is taken. Who makes ids here where it isn't:
  // RequestIdOptions::make_if_absent.
  bool keep_request_id = false;

  // More headers that are taken. Lower-cased.
  std::vector<std::string> keep_headers = {};

  // For traces that start here; null: none of them is sampled. Those that the
  // other propagator starts itself are its own affair.
  TraceSampler sampled_by = nullptr;
};

// Another propagator, whose Extract sees no header but those that the options
// keep: no baggage, and no values of the application's own. Inject, for calls
// to one's own services, is the other one's.
//
// Thread safety: any thread. Lifetime: shares `inner`; null does nothing, but
// traces start all the same.
//
// Example:
//
//   auto propagator = std::make_shared<tether::EdgePropagator>(everything);
class TETHER_EXPORT EdgePropagator final : public DelegatingPropagator {
 public:
  explicit EdgePropagator(std::shared_ptr<const Propagator> inner,
                          EdgeOptions options = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;

  // Those of the other one, one for each header that was asked for, came, and
  // was kept from it, and one for a sampler that threw.
  int64_t Dropped() const override;

 private:
  const bool keep_trace_;
  const std::vector<std::string> kept_;
  const TraceSampler sampled_by_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_EDGE_H_
