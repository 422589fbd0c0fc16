// SPDX-License-Identifier: Apache-2.0

#include "tether/opentelemetry/propagator.h"

#include <list>
#include <optional>
#include <utility>

#include "opentelemetry/nostd/string_view.h"
#include "opentelemetry/trace/context.h"
#include "tether/opentelemetry/internal/otel_context.h"
#include "tether/propagation/internal/header_text.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace trace = opentelemetry::trace;
using OtelContext = opentelemetry::context::Context;
using opentelemetry::context::propagation::TextMapCarrier;

// A tracestate has at most as many members.
constexpr int kMaxRepeats = 32;

std::string_view View(nostd::string_view text) {
  return {text.data(), text.size()};
}
nostd::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// Reads from a carrier. OpenTelemetry's propagators ask for headers in their
// usual spelling ("X-B3-TraceId"), and for a single value of each.
class Reader final : public TextMapCarrier {
 public:
  explicit Reader(const Carrier& carrier) : carrier_(carrier) {}

  nostd::string_view Get(nostd::string_view key) const noexcept override {
    const std::string name = internal::LowerAscii(View(key));
    const auto first = carrier_.Get(name);
    if (!first.has_value()) return "";
    if (!carrier_.Get(name, 1).has_value()) return View(*first);
    // In HTTP, a repeated header equals one header with a list. The joined text
    // is stored because Get returns a view.
    std::string& joined = joined_.emplace_back(*first);
    bool differ = false;  // equal copies count as one
    for (int i = 1; const auto next = carrier_.Get(name, i); ++i) {
      if (i == kMaxRepeats) {
        ++dropped_;
        return "";
      }
      joined += ',';
      joined += *next;
      differ |= *next != *first;
    }
    if (!differ) return View(*first);
    return joined;
  }
  void Set(nostd::string_view, nostd::string_view) noexcept override {}
  bool Keys(nostd::function_ref<bool(nostd::string_view)> visit)
      const noexcept override {
    bool go_on = true;
    carrier_.ForEachKey(
        [&](std::string_view key) { go_on = go_on && visit(View(key)); });
    return go_on;
  }

  int dropped() const { return dropped_; }

 private:
  const Carrier& carrier_;
  mutable std::list<std::string> joined_;
  mutable int dropped_ = 0;
};

// Writes headers into a carrier. Drops those that gRPC can't send, because gRPC
// would fail the call.
class Writer final : public TextMapCarrier {
 public:
  explicit Writer(Carrier& carrier) : carrier_(carrier) {}

  nostd::string_view Get(nostd::string_view key) const noexcept override {
    const auto value = carrier_.Get(internal::LowerAscii(View(key)));
    return value ? View(*value) : nostd::string_view();
  }
  void Set(nostd::string_view key, nostd::string_view value) noexcept override {
    const std::string name = internal::HeaderNameOrEmpty(View(key));
    if (name.empty() || internal::IsBinaryHeaderName(name) ||
        !internal::IsHeaderText(View(value))) {
      ++dropped_;
    } else {
      carrier_.Set(name, View(value));
    }
  }

  int dropped() const { return dropped_; }

 private:
  Carrier& carrier_;
  int dropped_ = 0;
};

}  // namespace

OpenTelemetryPropagator::OpenTelemetryPropagator(
    nostd::shared_ptr<TextMapPropagator> propagator)
    : propagator_(std::move(propagator)), fields_([this] {
        std::vector<std::string> fields;
        propagator_->Fields([&fields](nostd::string_view field) {
          fields.push_back(internal::LowerAscii(View(field)));
          return true;
        });
        return fields;
      }()) {}

Context OpenTelemetryPropagator::Extract(const Carrier& carrier,
                                         const Context& ctx) const {
  OtelContext before = internal::OpenTelemetryContextOf(ctx);
  const Reader reader(carrier);
  OtelContext after = propagator_->Extract(reader, before);
  dropped_.Add(reader.dropped());
  if (after == before) return ctx;  // no valid headers
  if (!trace::GetSpan(after)->GetContext().IsValid()) {
    // An invalid span must not hide the span of `ctx`.
    after = trace::SetSpan(after, trace::GetSpan(before));
  }
  return internal::WithOpenTelemetryContext(ctx, std::move(after));
}

void OpenTelemetryPropagator::Inject(const Context& ctx,
                                     Carrier& carrier) const {
  Writer writer(carrier);
  propagator_->Inject(writer, internal::OpenTelemetryContextOf(ctx));
  dropped_.Add(writer.dropped());
}

std::vector<std::string_view> OpenTelemetryPropagator::Fields() const {
  return {fields_.begin(), fields_.end()};
}

int64_t OpenTelemetryPropagator::Dropped() const { return dropped_.count(); }

}  // namespace tether
