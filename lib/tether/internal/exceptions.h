// SPDX-License-Identifier: Apache-2.0
//
// try, catch and throw for code that also compiles with -fno-exceptions.
// Nothing throws there: code that would throw has aborted. Internal.
//
//   TETHER_TRY {
//     codec();
//   }
//   TETHER_CATCH(const std::bad_alloc&) {
//     return false;
//   }
//   TETHER_CATCH(...) {
//     CountDrop();
//   }
//
// TETHER_CATCH_AS(const std::exception&, e) names the exception.

#ifndef TETHER_INTERNAL_EXCEPTIONS_H_
#define TETHER_INTERNAL_EXCEPTIONS_H_

#if defined(__cpp_exceptions)

#define TETHER_TRY try
#define TETHER_CATCH(...) catch (__VA_ARGS__)
#define TETHER_CATCH_AS(type, name) catch (type name)
#define TETHER_THROW(exception) throw exception
#define TETHER_RETHROW throw

#else

#include <cstdlib>

namespace tether::internal {
template <typename T>
T NoException();  // for handlers that never run
}

// The handlers are compiled, so that they stay correct, but never run.
#define TETHER_TRY if constexpr (true)
#define TETHER_CATCH(...) else if constexpr (false)
#define TETHER_CATCH_AS(type, name) \
  else if constexpr (type name = ::tether::internal::NoException<type>(); false)
#define TETHER_THROW(exception) ::std::abort()
#define TETHER_RETHROW ::std::abort()

#endif

#endif  // TETHER_INTERNAL_EXCEPTIONS_H_
