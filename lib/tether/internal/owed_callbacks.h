// The callbacks of contexts that have ended, where the thread that ended them
// must not run them. Internal.

#ifndef TETHER_INTERNAL_OWED_CALLBACKS_H_
#define TETHER_INTERNAL_OWED_CALLBACKS_H_

#include <utility>

#include "tether/export.h"

namespace tether::internal {

struct Scope;

// Owns a reference to each scope. Thread-compatible. A Registration that is
// stopped before Run takes its callback off, as it does with a live context.
class TETHER_EXPORT OwedCallbacks {
 public:
  OwedCallbacks() = default;
  ~OwedCallbacks() {
    if (!empty()) Run();
  }
  OwedCallbacks(OwedCallbacks&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), last_(other.last_) {}
  // Runs what it had.
  OwedCallbacks& operator=(OwedCallbacks&& other) noexcept {
    OwedCallbacks old(std::move(*this));
    first_ = std::exchange(other.first_, nullptr);
    last_ = other.last_;
    return *this;
  }

  bool empty() const { return first_ == nullptr; }

  // Takes over a reference to `scope`, which has ended. Its sibling_next is
  // free, unless it is a merge.
  void Add(Scope* scope);

  // Unlinks merges from their parents. Call it without any lock.
  void UnlinkMerges();

  // Adds those of `other`, to run after these.
  void Append(OwedCallbacks other);

  // They never run, and their contexts are never freed: for the child of a
  // fork.
  void Abandon() { first_ = nullptr; }

  // Runs them on this thread, which holds no lock; what is there is done once.
  // Returns whether there were any; if so, they may have destroyed whatever the
  // caller doesn't own.
  bool Run();

 private:
  Scope* first_ = nullptr;  // linked by sibling_next; merges by owed_next
  Scope* last_ = nullptr;   // means nothing without a first one
};

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_OWED_CALLBACKS_H_
