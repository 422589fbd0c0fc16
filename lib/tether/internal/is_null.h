// IsNull(f): whether a callable is one that must not be called. Internal.

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

// True for null pointers to functions and to members, and for empty
// std::function, absl::AnyInvocable and the like; false for all that can't be
// compared with nullptr, such as lambdas that capture.
template <typename F>
bool IsNull(const F& f) {
  // A lambda without captures compares with nullptr too, by way of its
  // conversion to a pointer; a function does as well, and is never null.
  if constexpr (std::is_function_v<F> || !IsNullable<F>::value) {
    (void)f;
    return false;
  } else {
    return f == nullptr;
  }
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_IS_NULL_H_
