// A Propagator turns headers into values of a context (Extract, on a server)
// and back (Inject, on a client).
//
// Thread safety: any thread; implementations are immutable. What a peer sent is
// hostile: Extract drops what is malformed or too large, counts it (Dropped),
// and returns the context without it. It never fails.

#ifndef TETHER_PROPAGATION_PROPAGATOR_H_
#define TETHER_PROPAGATION_PROPAGATOR_H_

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/propagation/carrier.h"

namespace tether {

class Propagator {
 public:
  virtual ~Propagator() = default;

  // `ctx` with the values that `carrier` has.
  virtual Context Extract(const Carrier& carrier, const Context& ctx) const = 0;

  // Writes the values that `ctx` has.
  virtual void Inject(const Context& ctx, Carrier& carrier) const = 0;

  // The headers that this reads and writes.
  virtual std::vector<std::string_view> Fields() const = 0;

  // How many values Extract and Inject have dropped as malformed or too large.
  virtual int64_t Dropped() const = 0;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_PROPAGATOR_H_
