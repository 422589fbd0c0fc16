// SPDX-License-Identifier: Apache-2.0
//
// Combines several propagators into one.

#ifndef TETHER_PROPAGATION_COMPOSITE_H_
#define TETHER_PROPAGATION_COMPOSITE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/propagator.h"

namespace tether {

// Runs its parts in the given order. If two parts read the same value, or write
// the same header, the last one wins.
//
// `limits` apply to all headers that the parts write for one call. A part that
// would exceed them writes none of its headers, which counts as a drop. So list
// the most important parts first.
//
// If a part throws, the exception is caught and counted, and the other parts
// run. A part that throws in Extract adds nothing to the context. A part that
// throws in Inject may have written some of its headers if it overrides
// MaxInjectBytes.
//
// Null parts are ignored. Without parts, the propagator does nothing.
//
// Thread safety: any thread. Lifetime: shares parts that are given as pointers;
// they may be used elsewhere too.
//
// Example:
//
//   auto propagator = std::make_shared<tether::CompositePropagator>(
//       tether::DefaultPropagator(),
//       tether::HeaderPropagator<int>(kPriority, "x-priority",
//                                     tether::IntCodec(0, 9)));
class TETHER_EXPORT CompositePropagator final : public Propagator {
 private:
  template <typename Part>
  static constexpr bool kIsPart =
      std::is_base_of_v<Propagator, Part> ||
      std::is_convertible_v<Part, std::shared_ptr<const Propagator>>;
  template <typename... Parts>
  using IfParts =
      std::enable_if_t<(sizeof...(Parts) > 0) && (kIsPart<Parts> && ...)>;

 public:
  // From a list, for parts that are chosen at run time.
  explicit CompositePropagator(
      std::vector<std::shared_ptr<const Propagator>> parts,
      InjectLimits limits = {});

  // From one or more parts. Each is a propagator, passed by value, or a smart
  // pointer to one. A copied propagator counts its own drops.
  //
  // For a variable write CompositePropagator p{A(), B()}; with parentheses
  // instead of braces C++ declares a function.
  template <typename... Parts, typename = IfParts<Parts...>>
  explicit CompositePropagator(Parts... parts)
      : CompositePropagator(InjectLimits(), std::move(parts)...) {}
  template <typename... Parts, typename = IfParts<Parts...>>
  explicit CompositePropagator(InjectLimits limits, Parts... parts)
      : CompositePropagator(
            std::vector<std::shared_ptr<const Propagator>>{
                Shared(std::move(parts))...},
            limits) {}

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;

  // Returns the fields of all parts in order, without duplicates.
  std::vector<std::string_view> Fields() const override;

  size_t MaxInjectBytes(const Context& ctx) const override;

  // Returns the sum of the parts' drops, plus one for each exception and for
  // each time that a part exceeded the limits. A part that several composites
  // share counts in all of them.
  int64_t Dropped() const override;

 private:
  template <typename Part>
  static std::shared_ptr<const Propagator> Shared(Part part) {
    if constexpr (std::is_base_of_v<Propagator, Part>) {
      return std::make_shared<Part>(std::move(part));
    } else {
      return part;
    }
  }

  const std::vector<std::shared_ptr<const Propagator>> parts_;
  const InjectLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_COMPOSITE_H_
