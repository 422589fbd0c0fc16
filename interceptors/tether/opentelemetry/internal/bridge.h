// SPDX-License-Identifier: Apache-2.0
//
// Helpers for both sides of the bridge.

#ifndef TETHER_OPENTELEMETRY_INTERNAL_BRIDGE_H_
#define TETHER_OPENTELEMETRY_INTERNAL_BRIDGE_H_

#include <memory>
#include <utility>

#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/trace/provider.h"
#include "opentelemetry/trace/tracer.h"
#include "opentelemetry/trace/tracer_provider.h"
#include "tether/propagation/default.h"

namespace tether::internal {

// Null `provider`: the global one.
inline opentelemetry::nostd::shared_ptr<opentelemetry::trace::Tracer> TracerOf(
    opentelemetry::nostd::shared_ptr<opentelemetry::trace::TracerProvider>
        provider) {
  if (provider == nullptr) {
    provider = opentelemetry::trace::Provider::GetTracerProvider();
  }
  return provider->GetTracer("tether");
}

// Returns `options` with its propagator wrapped in a `Wrapper`.
template <typename Wrapper, typename Options>
Options WithWrappedPropagator(Options options) {
  if (options.propagator == nullptr) options.propagator = DefaultPropagator();
  options.propagator = std::make_shared<Wrapper>(std::move(options.propagator));
  return options;
}

// Passes an object from an interceptor to tether's propagator. tether calls the
// propagator within the same hook, where the interceptor can't pass it a
// parameter. Application code may run within the hook, too, so the object can
// be taken only once.
template <typename T>
class HandDown {
 public:
  explicit HandDown(T* what) : outer_(std::exchange(current_, what)) {}
  ~HandDown() { current_ = outer_; }
  HandDown(const HandDown&) = delete;
  HandDown& operator=(const HandDown&) = delete;

  // Returns the object and removes it. Null if there is none.
  static T* Take() { return std::exchange(current_, nullptr); }

 private:
  static thread_local T* current_;
  T* const outer_;
};

template <typename T>
thread_local T* HandDown<T>::current_ = nullptr;

}  // namespace tether::internal

#endif  // TETHER_OPENTELEMETRY_INTERNAL_BRIDGE_H_
