// SPDX-License-Identifier: Apache-2.0
//
// DeferredCallbacks: the callbacks of contexts that have ended, to be run
// later. Internal.
//
// It is for threads that end contexts but must not run user code, and lets them
// pass the callbacks to another thread.

#ifndef TETHER_INTERNAL_DEFERRED_CALLBACKS_H_
#define TETHER_INTERNAL_DEFERRED_CALLBACKS_H_

#include <utility>

#include "tether/export.h"

namespace tether::internal {

struct Scope;

// A list of ended scopes, with a reference to each. Thread-compatible. A
// Registration that is stopped before Run removes its callback, as it does from
// a live context.
class TETHER_EXPORT DeferredCallbacks {
 public:
  DeferredCallbacks() = default;
  ~DeferredCallbacks() {
    if (!empty()) Run();
  }
  DeferredCallbacks(DeferredCallbacks&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), last_(other.last_) {}
  // Runs the callbacks that this had before.
  DeferredCallbacks& operator=(DeferredCallbacks&& other) noexcept {
    DeferredCallbacks old(std::move(*this));
    first_ = std::exchange(other.first_, nullptr);
    last_ = other.last_;
    return *this;
  }

  bool empty() const { return first_ == nullptr; }

  // Takes over a reference to `scope`, which has ended. Uses its sibling_next,
  // or the deferred_next of a merge.
  void Add(Scope* scope);

  // Unlinks merges from their parents. Call it without any lock.
  void UnlinkMerges();

  // Adds the callbacks of `other`, to run after these.
  void Append(DeferredCallbacks other);

  // Drops the callbacks without running them or freeing their contexts: for the
  // child of a fork.
  void Abandon() { first_ = nullptr; }

  // Runs the callbacks, once, on this thread, which must hold no lock. Returns
  // true if there were any. They may have destroyed objects that the caller
  // does not own.
  bool Run();

 private:
  Scope* first_ = nullptr;  // linked by sibling_next; merges by deferred_next
  Scope* last_ = nullptr;   // unspecified if first_ is null
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_DEFERRED_CALLBACKS_H_
