// Headers that are passed on as they came, without anybody here reading them.

#ifndef TETHER_PROPAGATION_RELAY_H_
#define TETHER_PROPAGATION_RELAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"

namespace tether {

// A header that exceeds one of these is dropped, with all its values.
struct RelayLimits {
  // Of one value, in bytes (of "...-bin": before gRPC encodes it).
  size_t max_value_bytes = 1024;
  // How often a header may be repeated.
  size_t max_values = 8;
  // Of all values of one request.
  size_t max_bytes = 4096;
};

// Carries the listed headers from a request to the calls that are made for it,
// byte for byte: also values that no codec of ours would take, also repeated
// ones, in order, and those of "...-bin" headers.
//
// What can't be sent is dropped: bytes outside of 0x20 to 0x7e in a header that
// isn't "...-bin". What is there already when Inject is called is the
// application's own, and stays.
//
// Names are lower-cased. Left out are illegal ones, and those that must not be
// passed on: gRPC's ("grpc-..."), tether's ("tether-...") and the connection's
// ("te", "host", "content-type" and the like).
//
// What came in is kept under one key, whichever RelayPropagator read it; one
// that writes sends the headers that it lists. So a server and a client may
// have different ones.
//
// Thread safety: any thread.
//
// Example:
//
//   auto relay = std::make_shared<tether::RelayPropagator>(
//       std::vector<std::string>{"x-canary", "x-session-bin"});
class TETHER_EXPORT RelayPropagator final : public Propagator {
 public:
  explicit RelayPropagator(const std::vector<std::string>& headers,
                           RelayLimits limits = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;

  // Counts each header that Extract dropped, and that Inject couldn't write
  // since the carrier can't repeat one.
  int64_t Dropped() const override;

 private:
  const std::vector<std::string> headers_;
  const RelayLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_RELAY_H_
