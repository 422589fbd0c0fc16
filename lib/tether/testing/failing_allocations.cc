// SPDX-License-Identifier: Apache-2.0

#include "tether/testing/failing_allocations.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace tether::testing {

std::atomic<int64_t> fail_at{0};
std::atomic<int64_t> live_allocations{0};
thread_local int64_t live_allocations_of_thread = 0;

}  // namespace tether::testing

namespace {

using tether::testing::fail_at;
using tether::testing::live_allocations;
using tether::testing::live_allocations_of_thread;

void* Allocate(size_t size, size_t alignment) {
  if (fail_at.load(std::memory_order_relaxed) > 0 &&
      fail_at.fetch_sub(1, std::memory_order_relaxed) == 1) {
    return nullptr;
  }
  void* memory = alignment <= alignof(std::max_align_t)
                     ? std::malloc(size == 0 ? 1 : size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) &
                                                         ~(alignment - 1));
  if (memory != nullptr) {
    ++live_allocations;
    ++live_allocations_of_thread;
  }
  return memory;
}

void* AllocateOrThrow(size_t size, size_t alignment) {
  void* memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Free(void* memory) {
  if (memory != nullptr) {
    --live_allocations;
    --live_allocations_of_thread;
  }
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return AllocateOrThrow(size, 1); }
void* operator new[](size_t size) { return AllocateOrThrow(size, 1); }
void* operator new(size_t size, std::align_val_t a) {
  return AllocateOrThrow(size, static_cast<size_t>(a));
}
void* operator new[](size_t size, std::align_val_t a) {
  return AllocateOrThrow(size, static_cast<size_t>(a));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return Allocate(size, 1);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return Allocate(size, 1);
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, size_t) noexcept { Free(memory); }
void operator delete[](void* memory, size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete[](void* memory, size_t, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  Free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  Free(memory);
}
