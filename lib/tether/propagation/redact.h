// SPDX-License-Identifier: Apache-2.0
//
// Keeps confidential values inside the process.

#ifndef TETHER_PROPAGATION_REDACT_H_
#define TETHER_PROPAGATION_REDACT_H_

#include <memory>
#include <string>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/delegating.h"
#include "tether/propagation/propagator.h"

namespace tether {

struct RedactOptions {
  // Headers that are never written. Names are converted to lower case.
  std::vector<std::string> headers = {};

  // Keys of baggage entries that are never sent. Case matters.
  std::vector<std::string> baggage_keys = {};
};

// Forwards to `inner`, but Inject leaves out the listed headers and baggage
// entries. Everything else is unchanged: Fields() still includes the redacted
// headers, because they are read.
//
// Redacted values do not count as drops.
//
// Thread safety: any thread. Lifetime: shares `inner`. If `inner` is null, this
// does nothing.
//
// Example:
//
//   tether::RedactOptions options;
//   options.baggage_keys = {"user.email"};
//   auto propagator =
//       std::make_shared<tether::RedactPropagator>(everything, options);
class TETHER_EXPORT RedactPropagator final : public DelegatingPropagator {
 public:
  RedactPropagator(std::shared_ptr<const Propagator> inner,
                   RedactOptions options);

  void Inject(const Context& ctx, Carrier& carrier) const override;

 private:
  const std::vector<std::string> headers_;
  const std::vector<std::string> baggage_keys_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_REDACT_H_
