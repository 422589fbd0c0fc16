// The id of a request, as in the header `x-request-id`: given by whoever stands
// at the edge, and carried through all hops unchanged.

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

// The id of the request that `ctx` works for; null when it has none. Valid as
// long as `ctx`, or a context made from it, exists.
TETHER_EXPORT const std::string* RequestIdOf(const Context& ctx);

// A child of `parent` with this id. It may be any string, but one that breaks
// the propagator's rules is not sent on.
TETHER_EXPORT Context WithRequestId(const Context& parent, std::string id);

struct RequestIdOptions {
  // Lower-cased. Where it is no legal header name, the propagator does nothing.
  std::string header = std::string(kRequestIdHeader);

  // The longest id, in bytes.
  size_t max_bytes = 128;

  // For services at the edge: whether Extract makes an id where no good one
  // came in and `ctx` has none.
  bool make_if_absent = false;
};

// A new id: 32 lower-case hex digits, 128 random bits. Distinct, not secret.
TETHER_EXPORT std::string NewRequestId();

// Carries the request id over a hop, byte for byte.
//
// An id is 1 to `max_bytes` visible ASCII characters (0x21 to 0x7e): it ends up
// in logs and in shells, and must not break out of a line or a word there.
// Anything else, and a header with two values, is dropped whole and counted,
// by Extract and by Inject alike. None is cut short: half an id is another id.
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

  const std::string header_;  // empty: not a legal one
  const size_t max_bytes_;
  const bool make_if_absent_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_REQUEST_ID_H_
