// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/edge.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "tether/internal/exceptions.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/propagation_notes.h"
#include "tether/propagation/request_id.h"

namespace tether {
namespace {

// Shows some headers of another carrier. Counts lookups of the others.
class FilteredCarrier final : public Carrier {
 public:
  FilteredCarrier(const Carrier& inner, const std::vector<std::string>& kept)
      : inner_(inner), kept_(kept) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    const std::optional<std::string_view> value = inner_.Get(key, index);
    if (!value.has_value() || IsKept(key)) return value;
    if (!internal::NoteDrop(key, "EdgeOptions doesn't keep it") && index == 0) {
      ++hidden_;
    }
    return std::nullopt;
  }
  void Set(std::string_view, std::string_view) override {}  // never called
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    inner_.ForEachKey([this, visit](std::string_view key) {
      if (IsKept(key)) visit(key);
    });
  }

  int64_t hidden() const { return hidden_; }

 private:
  bool IsKept(std::string_view key) const {
    return std::find(kept_.begin(), kept_.end(), key) != kept_.end();
  }

  const Carrier& inner_;
  const std::vector<std::string>& kept_;
  mutable int64_t hidden_ = 0;  // used by one thread only
};

std::vector<std::string> KeptHeaders(const EdgeOptions& options) {
  std::vector<std::string> kept;
  if (options.keep_trace) {
    for (const std::string_view name : TraceContextPropagator().Fields()) {
      kept.emplace_back(name);
    }
    for (const std::string_view name : B3Propagator().Fields()) {
      kept.emplace_back(name);
    }
  }
  if (options.keep_request_id) kept.emplace_back(kRequestIdHeader);
  for (const std::string& name : options.keep_headers) {
    kept.push_back(internal::LowerAscii(name));
  }
  return kept;
}

}  // namespace

EdgePropagator::EdgePropagator(std::shared_ptr<const Propagator> inner,
                               EdgeOptions options)
    : DelegatingPropagator(std::move(inner)),
      keep_trace_(options.keep_trace),
      kept_(KeptHeaders(options)),
      sampled_by_(std::move(options.sampled_by)) {}

Context EdgePropagator::Extract(const Carrier& carrier,
                                const Context& ctx) const {
  const FilteredCarrier filtered(carrier, kept_);
  Context result = DelegatingPropagator::Extract(filtered, ctx);
  dropped_.Add(filtered.hidden());
  if (keep_trace_ || TraceOf(result) != nullptr) return result;
  TraceContext trace = NewTrace();
  if (sampled_by_) {
    TETHER_TRY {
      if (sampled_by_(result, trace)) trace.flags |= TraceContext::kSampled;
    }
    TETHER_CATCH(...) { dropped_.Add(); }
  }
  return WithTrace(result, std::move(trace));
}

int64_t EdgePropagator::Dropped() const {
  return DelegatingPropagator::Dropped() + dropped_.count();
}

}  // namespace tether
