// SPDX-License-Identifier: Apache-2.0
//
// What both sides of the bridge need.

#ifndef TETHER_OPENTELEMETRY_INTERNAL_BRIDGE_H_
#define TETHER_OPENTELEMETRY_INTERNAL_BRIDGE_H_

#include <memory>
#include <utility>

#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/trace/provider.h"
#include "opentelemetry/trace/tracer.h"
#include "tether/opentelemetry/interceptors.h"
#include "tether/propagation/default.h"

namespace tether::internal {

inline opentelemetry::nostd::shared_ptr<opentelemetry::trace::Tracer> TracerOf(
    const OpenTelemetryOptions& telemetry) {
  const auto provider =
      telemetry.tracer_provider == nullptr
          ? opentelemetry::trace::Provider::GetTracerProvider()
          : telemetry.tracer_provider;
  return provider->GetTracer("tether");
}

// ServerOptions or ClientOptions whose propagator is wrapped in `Wrapper`.
template <typename Wrapper, typename Options>
Options WithWrappedPropagator(Options options) {
  if (options.propagator == nullptr) options.propagator = DefaultPropagator();
  options.propagator = std::make_shared<Wrapper>(std::move(options.propagator));
  return options;
}

// What an interceptor hands down the stack to tether's propagator, which tether
// calls within the same hook: an interceptor can't pass it a parameter. The
// application's code may run within the hook, too, so it is taken only once.
template <typename T>
class HandDown {
 public:
  explicit HandDown(T* what) : outer_(std::exchange(current_, what)) {}
  ~HandDown() { current_ = outer_; }
  HandDown(const HandDown&) = delete;
  HandDown& operator=(const HandDown&) = delete;

  // Null when there is none.
  static T* Take() { return std::exchange(current_, nullptr); }

 private:
  static thread_local T* current_;
  T* const outer_;
};

template <typename T>
thread_local T* HandDown<T>::current_ = nullptr;

}  // namespace tether::internal

#endif  // TETHER_OPENTELEMETRY_INTERNAL_BRIDGE_H_
