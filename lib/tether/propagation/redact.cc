// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/redact.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/propagation_notes.h"

namespace tether {
namespace {

// Discards headers with some keys, and entries of baggage, no matter which
// propagator writes them (e.g. RelayPropagator or OpenTelemetry's).
class RedactingCarrier final : public Carrier {
 public:
  RedactingCarrier(Carrier& inner, const std::vector<std::string>& keys,
                   const std::vector<std::string>& baggage_keys)
      : inner_(inner), keys_(keys), baggage_keys_(baggage_keys) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    return inner_.Get(key, index);
  }
  void Set(std::string_view key, std::string_view value) override {
    if (IsRedacted(key)) return;
    if (baggage_keys_.empty() || key != kBaggageHeader) {
      return inner_.Set(key, value);
    }
    const Baggage sent = Redacted(value);
    if (!sent.empty()) inner_.Set(key, sent.header());
  }
  bool Add(std::string_view key, std::string_view value) override {
    if (IsRedacted(key)) return true;
    if (baggage_keys_.empty() || key != kBaggageHeader) {
      return inner_.Add(key, value);
    }
    const Baggage sent = Redacted(value);
    return sent.empty() || inner_.Add(key, sent.header());
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    inner_.ForEachKey(visit);
  }

 private:
  bool IsRedacted(std::string_view key) const {
    const bool redacted =
        std::find(keys_.begin(), keys_.end(), key) != keys_.end();
    if (redacted) internal::NoteDrop(key, "RedactOptions names it");
    return redacted;
  }

  Baggage Redacted(std::string_view header) const {
    Baggage baggage = Baggage::Parse(header, {SIZE_MAX, SIZE_MAX});
    for (const std::string& key : baggage_keys_) baggage = baggage.Without(key);
    return baggage;
  }

  Carrier& inner_;
  const std::vector<std::string>& keys_;
  const std::vector<std::string>& baggage_keys_;
};

std::vector<std::string> LowerCased(const std::vector<std::string>& names) {
  std::vector<std::string> lower;
  lower.reserve(names.size());
  for (const std::string& name : names) {
    lower.push_back(internal::LowerAscii(name));
  }
  return lower;
}

}  // namespace

RedactPropagator::RedactPropagator(std::shared_ptr<const Propagator> inner,
                                   RedactOptions options)
    : DelegatingPropagator(std::move(inner)),
      headers_(LowerCased(options.headers)),
      baggage_keys_(std::move(options.baggage_keys)) {}

void RedactPropagator::Inject(const Context& ctx, Carrier& carrier) const {
  RedactingCarrier redacting(carrier, headers_, baggage_keys_);
  const Baggage& all = BaggageOf(ctx);
  Baggage sent = all;
  for (const std::string& key : baggage_keys_) sent = sent.Without(key);
  if (sent.size() == all.size()) {
    return DelegatingPropagator::Inject(ctx, redacting);
  }
  DelegatingPropagator::Inject(WithBaggage(ctx, std::move(sent)), redacting);
}

}  // namespace tether
