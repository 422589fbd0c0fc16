// SPDX-License-Identifier: Apache-2.0
//
// Propagators for tests.

#ifndef TETHER_PROPAGATION_TESTING_FAKE_PROPAGATORS_H_
#define TETHER_PROPAGATION_TESTING_FAKE_PROPAGATORS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/propagator.h"

namespace tether::testing {

// Behaves as its fields say. Set them before the propagator is used; from then
// on it may be used from any thread if the functions may.
struct FakePropagator final : Propagator {
  FakePropagator() = default;
  explicit FakePropagator(
      std::function<Context(const Carrier&, const Context&)> extracts,
      std::function<void(const Context&, Carrier&)> injects = nullptr)
      : extract(std::move(extracts)), inject(std::move(injects)) {}

  // Null: returns its context.
  std::function<Context(const Carrier&, const Context&)> extract;
  // Null: writes nothing.
  std::function<void(const Context&, Carrier&)> inject;
  std::vector<std::string_view> fields;
  size_t max_inject_bytes = SIZE_MAX;
  int64_t dropped = 0;

  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    return extract == nullptr ? ctx : extract(carrier, ctx);
  }
  void Inject(const Context& ctx, Carrier& carrier) const override {
    if (inject != nullptr) inject(ctx, carrier);
  }
  std::vector<std::string_view> Fields() const override { return fields; }
  size_t MaxInjectBytes(const Context&) const override {
    return max_inject_bytes;
  }
  int64_t Dropped() const override { return dropped; }
};

// Throws a std::runtime_error from Extract, and an int from Inject.
class ThrowingPropagator : public Propagator {
 public:
  Context Extract(const Carrier&, const Context&) const override {
    throw std::runtime_error("extract");
  }
  void Inject(const Context&, Carrier&) const override { throw 42; }
  std::vector<std::string_view> Fields() const override { return {}; }
  int64_t Dropped() const override { return 0; }
};

}  // namespace tether::testing

#endif  // TETHER_PROPAGATION_TESTING_FAKE_PROPAGATORS_H_
