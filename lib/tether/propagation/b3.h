// The trace that a request belongs to, as Zipkin's B3 headers tell it
// (https://github.com/openzipkin/b3-propagation): one, or several.
//
//   b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90
//
//   x-b3-traceid: 80f198ee56343ba864fe8b2a57d3eff7
//   x-b3-spanid: e457b5a2e4d86bd1
//   x-b3-parentspanid: 05e3ac9a4f6e3b90
//   x-b3-sampled: 1
//
// It is the TraceContext of trace_context.h that is read and written. So what
// came in as B3 can go out as W3C Trace Context, and the other way round.

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

// Reads a `b3`: traceid-spanid[-sampled[-parentspanid]], in lower-case hex, or
// sampled alone.
//
// A trace id has 32 or 16 digits; one of 16 is the lower half. `sampled` is "1"
// or "0", or "d" for debug; without it the decision is deferred. The parent's
// id is checked, and not kept. Where there is `sampled` alone, both ids of the
// result are zero, and it isn't valid() by itself. nullopt for all else.
TETHER_EXPORT std::optional<TraceContext> ParseB3(std::string_view header);

enum class B3Format {
  kNone,
  kSingle,  // `b3`
  kMulti,   // `x-b3-...`
};

struct B3Options {
  // What Inject writes. Extract reads both.
  B3Format write = B3Format::kNone;
};

// Carries the TraceContext over a hop, beside peers that speak B3.
//
// Extract prefers `b3` to the others, where it is good. A decision on sampling
// without ids (as in "b3: 0") starts a trace with that decision, so that it
// isn't lost. A header with two values is as good as a malformed one. Where
// `traceparent` is there too, and the context has the trace that it names, that
// stays. So put this behind the TraceContextPropagator, if there is one: then
// W3C comes first, and both write the same span id.
//
// Inject writes the trace id (of 16 digits where the upper half is zero), a new
// random span id, the context's span as its parent, and the decision. The
// `tracestate` of W3C has no place in B3.
//
// Thread safety: any thread.
//
// Example: B3 comes in; W3C Trace Context goes out, and B3 for older services.
//
//   tether::B3Options options;
//   options.write = tether::B3Format::kSingle;
//   auto propagator = std::make_shared<tether::CompositePropagator>(
//       std::vector<std::shared_ptr<const tether::Propagator>>{
//           std::make_shared<tether::TraceContextPropagator>(),
//           std::make_shared<tether::B3Propagator>(options)});
class TETHER_EXPORT B3Propagator final : public Propagator {
 public:
  explicit B3Propagator(B3Options options = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;

  // All six, whatever is written.
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;

  // Counts each malformed or repeated header, ids of which only one is there,
  // and an invalid trace that Inject was asked to send.
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
