// SPDX-License-Identifier: Apache-2.0
//
// Zipkin's B3 headers for the trace of a request
// (https://github.com/openzipkin/b3-propagation), in the single-header and the
// multi-header form.
//
//   b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90
//
//   x-b3-traceid: 80f198ee56343ba864fe8b2a57d3eff7
//   x-b3-spanid: e457b5a2e4d86bd1
//   x-b3-parentspanid: 05e3ac9a4f6e3b90
//   x-b3-sampled: 1
//
// The propagator reads and writes the TraceContext of trace_context.h. So a
// trace that arrives as B3 can leave as W3C Trace Context, and vice versa.

#ifndef TETHER_PROPAGATION_B3_H_
#define TETHER_PROPAGATION_B3_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"
#include "tether/propagation/trace_context.h"

namespace tether {

inline constexpr std::string_view kB3Header = "b3";
inline constexpr std::string_view kB3TraceIdHeader = "x-b3-traceid";
inline constexpr std::string_view kB3SpanIdHeader = "x-b3-spanid";
inline constexpr std::string_view kB3ParentSpanIdHeader = "x-b3-parentspanid";
inline constexpr std::string_view kB3SampledHeader = "x-b3-sampled";
inline constexpr std::string_view kB3FlagsHeader = "x-b3-flags";

// Parses a `b3` header: traceid-spanid[-sampled[-parentspanid]], in lower-case
// hex, or `sampled` alone. Returns nullopt for anything else.
//
// A trace id has 32 or 16 digits; 16 digits are the lower half. `sampled` is
// "1", "0", or "d" for debug; if it is absent, the decision is deferred. The
// parent's id is validated but not kept. If the header is `sampled` alone, both
// ids of the result are zero and the result is not valid().
TETHER_EXPORT std::optional<TraceContext> ParseB3(std::string_view header);

enum class B3Format {
  kNone,
  kSingle,  // `b3`
  kMulti,   // `x-b3-...`
};

struct B3Options {
  // The form that Inject writes. Extract reads both.
  B3Format write = B3Format::kNone;
};

// Carries the TraceContext over a hop to and from peers that use B3.
//
// Extract prefers `b3` to the `x-b3-...` headers if it is valid. A sampling
// decision without ids (as in "b3: 0") starts a trace with that decision, which
// would otherwise be lost. A header with two different values counts as
// malformed. If `traceparent` arrived too, and the context already has the
// trace that it names, that trace is kept. So list this after the
// TraceContextPropagator: then W3C takes precedence, and both write the same
// span id.
//
// Inject writes the trace id (with 16 digits if the upper half is zero), a new
// random span id, the context's span as its parent, and the sampling decision.
// B3 has no equivalent of W3C's `tracestate`.
//
// Thread safety: any thread.
//
// Example: B3 comes in; W3C Trace Context goes out, and B3 for older services.
//
//   tether::B3Options options;
//   options.write = tether::B3Format::kSingle;
//   auto propagator = std::make_shared<tether::CompositePropagator>(
//       tether::TraceContextPropagator(), tether::B3Propagator(options));
class TETHER_EXPORT B3Propagator final : public Propagator {
 public:
  explicit B3Propagator(B3Options options = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;

  // Returns all six headers, regardless of the options.
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;

  // Counts each malformed or repeated header, a trace id or span id without the
  // other, and each invalid trace that Inject was asked to send.
  int64_t Dropped() const override;

 private:
  std::optional<TraceContext> ReadMulti(const Carrier& carrier) const;
  std::optional<std::string_view> GetSole(const Carrier& carrier,
                                          std::string_view key) const;

  const B3Options options_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_B3_H_
