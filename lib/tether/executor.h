// SPDX-License-Identifier: Apache-2.0
//
// BindExecutor: work that runs on a thread pool has the ambient context of the
// code that submitted it.
//
//   auto submit = tether::BindExecutor(
//       [&pool](auto fn) { pool.Schedule(std::move(fn)); });
//   submit([] { Audit(tether::Current()); });  // the submitter's Current()
//
// If you wrap the pool once, where it is made, no caller can forget Bind.

#ifndef TETHER_EXECUTOR_H_
#define TETHER_EXECUTOR_H_

#include <functional>
#include <type_traits>
#include <utility>

#include "tether/current.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/is_null.h"

namespace tether {

// A function that runs callables, usually on a pool. It is passed copyable
// callables, so it can forward them to any pool:
//
//   tether::Executor executor = [&pool](auto fn) {
//     pool.Schedule(std::move(fn));
//   };
//
// tether may call it from any thread, and from several at the same time. It may
// run the callable before it returns.
using Executor = std::function<void(std::function<void()>)>;

// The result of BindExecutor. Copyable and movable if `Submit` is.
//
// Thread safety: that of `Submit`. Lifetime: submitted work keeps its context
// alive until the pool destroys the work.
template <typename Submit>
class [[nodiscard]] BoundExecutor {
 public:
  explicit BoundExecutor(Submit submit) : submit_(std::move(submit)) {}

  // Calls submit(Bind(Current(), fn), args...) and returns its result: nothing,
  // a std::future, a task id. The submitted callable is copyable if `fn` is,
  // takes the arguments that `fn` takes and returns what `fn` returns.
  //
  // Throws std::bad_function_call if `fn` is null, without submitting anything:
  // on the pool, no caller could handle the error. Exceptions of `submit` are
  // passed on.
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

// Wraps `submit`, a pool's function that takes a callable and perhaps more
// arguments after it. Each callable then runs with the context that was
// Current() when it was submitted. `submit` must not be null. It is copied or
// moved in; objects that it refers to must outlive the result.
template <typename Submit>
[[nodiscard]] BoundExecutor<std::decay_t<Submit>> BindExecutor(
    Submit&& submit) {
  return BoundExecutor<std::decay_t<Submit>>(std::forward<Submit>(submit));
}

}  // namespace tether

#endif  // TETHER_EXECUTOR_H_
