// SPDX-License-Identifier: Apache-2.0
//
// Forwards headers unchanged, without interpreting them.

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

// If a header exceeds one of these, all its values are dropped.
struct RelayLimits {
  // The size of one value in bytes; for "...-bin" headers, before gRPC encodes
  // it.
  size_t max_value_bytes = 1024;
  // How many values a header may have.
  size_t max_values = 8;
  // The size of all values of one request in bytes.
  size_t max_bytes = 4096;
};

// Copies the listed headers of a request to the calls that are made for it,
// byte for byte. This includes values that other propagators would reject,
// repeated headers (in order), and "...-bin" headers.
//
// Headers that gRPC can't send are dropped: text headers with bytes outside
// 0x20 to 0x7e. Inject keeps headers that the carrier already has, because the
// application has set them.
//
// Names are converted to lower case. For an illegal name, the constructor fails
// as that of a HeaderPropagator does (header.h). So it does for headers that
// must not be forwarded: those of gRPC ("grpc-..."), of tether ("tether",
// "tether-...") and of the connection ("te", "host", "content-type" etc.).
//
// All RelayPropagators keep the headers under the same key of the context, and
// each writes those that it lists. So a server and a client may use different
// lists.
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

  // Counts each header that Extract dropped, and each that Inject couldn't
  // write because the carrier can't repeat headers.
  int64_t Dropped() const override;

 private:
  const std::vector<std::string> headers_;
  const RelayLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_RELAY_H_
