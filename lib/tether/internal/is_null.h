// SPDX-License-Identifier: Apache-2.0
//
// IsNull(f): whether a callable is null and so must not be called. Internal.

#ifndef TETHER_INTERNAL_IS_NULL_H_
#define TETHER_INTERNAL_IS_NULL_H_

#include <cstddef>
#include <type_traits>
#include <utility>

namespace tether::internal {

template <typename F, typename = void>
struct IsNullable : std::false_type {};
template <typename F>
struct IsNullable<F, std::void_t<decltype(static_cast<bool>(
                         std::declval<const F&>() == nullptr))>>
    : std::true_type {};

// True for null pointers to functions and members, and for empty std::function,
// absl::AnyInvocable and the like. False for types that can't be compared with
// nullptr, such as lambdas with captures.
template <typename F>
bool IsNull(const F& f) {
  // Lambdas without captures can be compared too, through their conversion to a
  // pointer; so can functions, which are never null.
  if constexpr (std::is_function_v<F> || !IsNullable<F>::value) {
    (void)f;
    return false;
  } else {
    return f == nullptr;
  }
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_IS_NULL_H_
