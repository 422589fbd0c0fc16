// SPDX-License-Identifier: Apache-2.0
//
// How a Baggage is kept in a context, and carried over a hop.

#include <optional>
#include <utility>

#include "tether/propagation/baggage.h"
#include "tether/propagation/internal/injected_bytes.h"

namespace tether {
namespace {

constexpr Key<Baggage> kBaggage{"baggage"};

}  // namespace

const Baggage& BaggageOf(const Context& ctx) {
  static const Baggage& none = *new Baggage;
  const Baggage* baggage = ctx.Value(kBaggage);
  return baggage == nullptr ? none : *baggage;
}

Context WithBaggage(const Context& parent, Baggage baggage) {
  return WithValue(parent, kBaggage, std::move(baggage));
}

BaggagePropagator::BaggagePropagator(BaggageLimits limits) : limits_(limits) {}

Context BaggagePropagator::Extract(const Carrier& carrier,
                                   const Context& ctx) const {
  int64_t dropped = 0;
  Baggage baggage = Baggage::Read(carrier, limits_, dropped);
  dropped_.Add(dropped);
  if (baggage.empty()) return ctx;
  return WithBaggage(ctx, std::move(baggage));
}

void BaggagePropagator::Inject(const Context& ctx, Carrier& carrier) const {
  const Baggage& all = BaggageOf(ctx);
  if (all.empty()) return;
  if (all.size() <= limits_.max_entries &&
      all.header().size() <= limits_.max_bytes) {
    return carrier.Set(kBaggageHeader, all.header());
  }
  const Baggage sent = all.Within(limits_);
  dropped_.Add(static_cast<int64_t>(all.size() - sent.size()));
  if (!sent.empty()) carrier.Set(kBaggageHeader, sent.header());
}

std::vector<std::string_view> BaggagePropagator::Fields() const {
  return {kBaggageHeader};
}

size_t BaggagePropagator::MaxInjectBytes(const Context& ctx) const {
  const Baggage& baggage = BaggageOf(ctx);
  if (baggage.empty()) return 0;
  return internal::InjectedBytes(kBaggageHeader, baggage.header().size());
}

int64_t BaggagePropagator::Dropped() const { return dropped_.count(); }

}  // namespace tether
