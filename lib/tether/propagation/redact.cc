#include "tether/propagation/redact.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/internal/header_text.h"

namespace tether {
namespace {

// Swallows what is set under some keys.
class RedactingCarrier final : public Carrier {
 public:
  RedactingCarrier(Carrier& inner, const std::vector<std::string>& keys)
      : inner_(inner), keys_(keys) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    return inner_.Get(key, index);
  }
  void Set(std::string_view key, std::string_view value) override {
    if (!IsRedacted(key)) inner_.Set(key, value);
  }
  bool Add(std::string_view key, std::string_view value) override {
    return IsRedacted(key) || inner_.Add(key, value);
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    inner_.ForEachKey(visit);
  }

 private:
  bool IsRedacted(std::string_view key) const {
    return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
  }

  Carrier& inner_;
  const std::vector<std::string>& keys_;
};

std::vector<std::string> LowerCased(const std::vector<std::string>& names) {
  std::vector<std::string> lower;
  for (const std::string& name : names) {
    lower.push_back(internal::LowerAscii(name));
  }
  return lower;
}

}  // namespace

RedactPropagator::RedactPropagator(std::shared_ptr<const Propagator> inner,
                                   RedactOptions options)
    : inner_(inner != nullptr
                 ? std::move(inner)
                 : std::make_shared<CompositePropagator>(
                       std::vector<std::shared_ptr<const Propagator>>())),
      headers_(LowerCased(options.headers)),
      baggage_keys_(std::move(options.baggage_keys)) {}

Context RedactPropagator::Extract(const Carrier& carrier,
                                  const Context& ctx) const {
  return inner_->Extract(carrier, ctx);
}

void RedactPropagator::Inject(const Context& ctx, Carrier& carrier) const {
  RedactingCarrier redacting(carrier, headers_);
  const Baggage& all = BaggageOf(ctx);
  Baggage sent = all;
  for (const std::string& key : baggage_keys_) sent = sent.Without(key);
  if (sent.size() == all.size()) return inner_->Inject(ctx, redacting);
  inner_->Inject(WithBaggage(ctx, std::move(sent)), redacting);
}

std::vector<std::string_view> RedactPropagator::Fields() const {
  return inner_->Fields();
}

size_t RedactPropagator::MaxInjectBytes(const Context& ctx) const {
  return inner_->MaxInjectBytes(ctx);
}

int64_t RedactPropagator::Dropped() const { return inner_->Dropped(); }

}  // namespace tether
