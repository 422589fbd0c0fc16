// Contexts that survive thread pools: the ambient context of whoever submits
// work is the ambient context of the work.
//
//   auto submit = tether::BindExecutor(
//       [&pool](auto fn) { pool.Schedule(std::move(fn)); });
//   submit([] { Audit(tether::Current()); });  // the submitter's Current()
//
// Wrap the pool once, where it is made, and no caller can forget Bind.

#ifndef TETHER_EXECUTOR_H_
#define TETHER_EXECUTOR_H_

#include <functional>
#include <type_traits>
#include <utility>

#include "tether/current.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/is_null.h"

namespace tether {

// Somewhere to run things: a pool's own function for it, behind one type. It is
// handed copyable callables, so that it can pass them to any pool:
//
//   tether::Executor executor = [&pool](auto fn) {
//     pool.Schedule(std::move(fn));
//   };
//
// tether calls it from whatever thread needs something run, also from several
// at the same time. It may run the callable before it returns.
using Executor = std::function<void(std::function<void()>)>;

// What BindExecutor returns. Copyable and movable if `Submit` is.
//
// Thread safety: that of `Submit`. Lifetime: work that has been submitted keeps
// the context that it was submitted under, until the pool destroys it.
template <typename Submit>
class [[nodiscard]] BoundExecutor {
 public:
  explicit BoundExecutor(Submit submit) : submit_(std::move(submit)) {}

  // Calls submit(Bind(Current(), fn), args...), and returns what that returns:
  // nothing, a std::future, a task id. What is submitted is copyable if `fn`
  // is, takes the arguments that `fn` takes, and returns what it returns.
  //
  // Throws std::bad_function_call when `fn` is null, before anything is
  // submitted: on the pool there would be nobody to tell. What `submit` throws
  // comes out here.
  template <typename F, typename... Args>
  decltype(auto) operator()(F&& fn, Args&&... args) {
    return Call(submit_, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <typename F, typename... Args>
  decltype(auto) operator()(F&& fn, Args&&... args) const {
    return Call(submit_, std::forward<F>(fn), std::forward<Args>(args)...);
  }

 private:
  template <typename S, typename F, typename... Args>
  static decltype(auto) Call(S& submit, F&& fn, Args&&... args) {
    if (internal::IsNull(fn)) TETHER_THROW(std::bad_function_call());
    return std::invoke(submit, Bind(Current(), std::forward<F>(fn)),
                       std::forward<Args>(args)...);
  }

  Submit submit_;
};

// Wraps `submit`, the function of a pool that takes a callable (and perhaps
// more arguments after it), so that the callable runs with the context that is
// Current() at the moment of submission. `submit` is copied or moved in; what
// it refers to must outlive the result. It must not be null.
template <typename Submit>
[[nodiscard]] BoundExecutor<std::decay_t<Submit>> BindExecutor(
    Submit&& submit) {
  return BoundExecutor<std::decay_t<Submit>>(std::forward<Submit>(submit));
}

}  // namespace tether

#endif  // TETHER_EXECUTOR_H_
