// What must not leave the process.

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
  // Headers that are never written. Lower-cased.
  std::vector<std::string> headers = {};

  // Entries of baggage that are never sent. Case matters, as it does there.
  std::vector<std::string> baggage_keys = {};
};

// Another propagator, that keeps quiet about some things: Inject leaves them
// out, and the rest is as it would be without. Extract is the other one's.
//
// To leave something out is no drop: Dropped() doesn't count it.
//
// Thread safety: any thread. Lifetime: shares `inner`; null does nothing.
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
