// SPDX-License-Identifier: Apache-2.0
//
// Spread<T>: equal copies of one object, of which each thread uses one.
// Internal.
//
// It is for objects that count their references, such as std::shared_ptr and
// absl::Status, and that all threads copy all the time. If all threads copied
// one object, they would all write its count, and processors would pass that
// cache line around. Here each copy has a count of its own.
//
// Thread safety: any thread.

#ifndef TETHER_INTERNAL_SPREAD_H_
#define TETHER_INTERNAL_SPREAD_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tether/internal/live_counts.h"

namespace tether::internal {

template <typename T>
class Spread {
 public:
  // Calls make() for each copy. The results must not share a count.
  template <typename Make>
  explicit Spread(Make make) {
    constexpr size_t kMost = 64;
    const size_t wanted = 2 * size_t{std::thread::hardware_concurrency()};
    size_t copies = 4;
    while (copies < std::min(wanted, kMost)) copies *= 2;
    copies_.reserve(copies);
    for (size_t i = 0; i < copies; ++i) copies_.push_back(make());
  }

  // The copy of this thread, and of few others. Valid as long as this object.
  const T& get() const {
    return copies_[ThreadNumber() & (copies_.size() - 1)];
  }

 private:
  std::vector<T> copies_;  // constant; their number is a power of two
};

// Pointers that all own `object`.
template <typename T>
Spread<std::shared_ptr<T>> SpreadOwners(std::shared_ptr<T> object) {
  // Shared by the owners that are copied from one pointer of the result. Its
  // count is next to it, and cache lines come in pairs.
  struct alignas(128) Owner {
    explicit Owner(std::shared_ptr<T> owned) : object(std::move(owned)) {}
    const std::shared_ptr<T> object;
  };
  return Spread<std::shared_ptr<T>>([&object] {
    return std::shared_ptr<T>(std::make_shared<Owner>(object), object.get());
  });
}

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_SPREAD_H_
