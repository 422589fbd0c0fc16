// try, catch and throw in code that also compiles with -fno-exceptions, where
// nothing throws: what would end the program there has ended it already.
// Internal.
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
// TETHER_CATCH_AS(const std::exception&, e) names what was caught.

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
T NoException();  // for handlers that are never run
}

// The handlers are compiled, so that they stay correct, and dropped.
#define TETHER_TRY if constexpr (true)
#define TETHER_CATCH(...) else if constexpr (false)
#define TETHER_CATCH_AS(type, name) \
  else if constexpr (type name = ::tether::internal::NoException<type>(); false)
#define TETHER_THROW(exception) ::std::abort()
#define TETHER_RETHROW ::std::abort()

#endif

#endif  // TETHER_INTERNAL_EXCEPTIONS_H_
