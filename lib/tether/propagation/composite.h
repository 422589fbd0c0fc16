// Several propagators as one.

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

namespace internal {

template <typename T>
inline constexpr bool kIsPropagator =
    std::is_base_of_v<Propagator, T> ||
    std::is_convertible_v<T, std::shared_ptr<const Propagator>>;

template <typename... Parts>
using EnableIfPropagators =
    std::enable_if_t<(sizeof...(Parts) > 0) && (kIsPropagator<Parts> && ...)>;

template <typename T>
std::shared_ptr<const Propagator> SharedPart(T part) {
  if constexpr (std::is_base_of_v<Propagator, T>) {
    return std::make_shared<T>(std::move(part));
  } else {
    return part;
  }
}

}  // namespace internal

// Runs its parts in the order given. Where two read the same value, or write
// the same header, the last one wins.
//
// What they write for a call stays within `limits`, all of them together: a
// part that would exceed them writes none of its headers, and that is counted.
// So put what matters most first.
//
// It also is the wall around them: what a part throws is caught and counted,
// and the others run. A part that throws in Extract has then added nothing; one
// that throws in Inject may have written some of its headers, if it overrides
// MaxInjectBytes.
//
// Null parts are left out. No parts at all make a propagator that does nothing.
//
// Thread safety: any thread. Lifetime: shares its parts, which may be used
// elsewhere too.
//
// Example:
//
//   auto propagator = std::make_shared<tether::CompositePropagator>(
//       tether::DefaultPropagator(),
//       tether::HeaderPropagator<int>(kPriority, "x-priority",
//                                     tether::IntCodec(0, 9)));
class TETHER_EXPORT CompositePropagator final : public Propagator {
 public:
  // From a list that is made at run time.
  explicit CompositePropagator(
      std::vector<std::shared_ptr<const Propagator>> parts,
      InjectLimits limits = {});

  // From one or more parts, each a propagator by value or a pointer to one. A
  // propagator is moved, or copied if it is an lvalue: a copy counts its drops
  // on its own.
  template <typename... Parts,
            typename = internal::EnableIfPropagators<Parts...>>
  explicit CompositePropagator(Parts... parts)
      : CompositePropagator(InjectLimits(), std::move(parts)...) {}
  template <typename... Parts,
            typename = internal::EnableIfPropagators<Parts...>>
  explicit CompositePropagator(InjectLimits limits, Parts... parts)
      : CompositePropagator(
            std::vector<std::shared_ptr<const Propagator>>{
                internal::SharedPart(std::move(parts))...},
            limits) {}

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;

  // Those of all parts, each once, in order.
  std::vector<std::string_view> Fields() const override;

  size_t MaxInjectBytes(const Context& ctx) const override;

  // The sum over its parts, and one for each exception and each time that a
  // part exceeded the limits. A part that is in several composites counts in
  // all of them.
  int64_t Dropped() const override;

 private:
  const std::vector<std::shared_ptr<const Propagator>> parts_;
  const InjectLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_COMPOSITE_H_
