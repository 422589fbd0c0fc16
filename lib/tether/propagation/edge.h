// SPDX-License-Identifier: Apache-2.0
//
// Protects services that untrusted callers can reach.

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
  // If true, traces that began outside (W3C and B3) continue. If false, each
  // request starts a new trace without the caller's `tracestate`, so outside
  // callers can neither join traces, nor choose their ids, nor force sampling.
  bool keep_trace = false;

  // If true, `x-request-id` is accepted. To create ids here instead, set
  // RequestIdOptions::make_if_absent.
  bool keep_request_id = false;

  // More headers to accept. Names are converted to lower case.
  std::vector<std::string> keep_headers = {};

  // Decides which traces that start here are sampled. Null: none. Does not
  // apply to traces that the inner propagator starts itself.
  TraceSampler sampled_by = nullptr;
};

// Forwards to `inner`, but Extract shows it only the headers that the options
// keep: no baggage, and no application-defined values. Inject, for calls to
// trusted services, is unchanged.
//
// Thread safety: any thread. Lifetime: shares `inner`. If `inner` is null, this
// only starts traces.
//
// Example:
//
//   auto propagator = std::make_shared<tether::EdgePropagator>(everything);
class TETHER_EXPORT EdgePropagator final : public DelegatingPropagator {
 public:
  explicit EdgePropagator(std::shared_ptr<const Propagator> inner,
                          EdgeOptions options = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;

  // Returns the drops of `inner`, plus one for each received header that
  // `inner` asked for and this hid, and one for each exception of the sampler.
  int64_t Dropped() const override;

 private:
  const bool keep_trace_;
  const std::vector<std::string> kept_;
  const TraceSampler sampled_by_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_EDGE_H_
