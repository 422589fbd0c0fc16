// SPDX-License-Identifier: Apache-2.0
//
// The id of a request, in the header `x-request-id`. The service at the edge
// assigns it, and all hops forward it unchanged.

#ifndef TETHER_PROPAGATION_REQUEST_ID_H_
#define TETHER_PROPAGATION_REQUEST_ID_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"

namespace tether {

inline constexpr std::string_view kRequestIdHeader = "x-request-id";

// Returns the id of the request that `ctx` belongs to, or null if there is
// none. Valid while `ctx` or a context derived from it exists.
TETHER_EXPORT const std::string* RequestIdOf(const Context& ctx);

// Returns a child of `parent` with this id. Any string is accepted, but the
// propagator does not send ids that break its rules.
TETHER_EXPORT Context WithRequestId(const Context& parent, std::string id);

struct RequestIdOptions {
  // Converted to lower case. If it is not a legal header name, the constructor
  // fails as that of a HeaderPropagator does (header.h).
  std::string header = std::string(kRequestIdHeader);

  // The longest id, in bytes.
  size_t max_bytes = 128;

  // For services at the edge. If true, Extract creates an id when no valid one
  // arrived and `ctx` has none.
  bool make_if_absent = false;
};

// Returns a new id: 128 random bits as 32 lower-case hex digits. Ids are
// unique, but not secret.
TETHER_EXPORT std::string NewRequestId();

// Carries the request id over a hop, byte for byte.
//
// An id consists of 1 to `max_bytes` visible ASCII characters (0x21 to 0x7e),
// so it can't break out of a line in a log or a word in a shell. Extract and
// Inject drop and count all other ids, and headers with two different values.
// Ids are never truncated, because a truncated id is a different id.
//
// Thread safety: any thread.
//
// Example:
//
//   tether::RequestIdPropagator propagator;
//   tether::Context ctx = propagator.Extract(request_headers, server_ctx);
//   if (const std::string* id = tether::RequestIdOf(ctx)) Log("request ", *id);
//   propagator.Inject(ctx, call_headers);
class TETHER_EXPORT RequestIdPropagator final : public Propagator {
 public:
  explicit RequestIdPropagator(RequestIdOptions options = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;
  int64_t Dropped() const override;

 private:
  bool IsGood(std::string_view id) const;

  const std::string header_;
  const size_t max_bytes_;
  const bool make_if_absent_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_REQUEST_ID_H_
