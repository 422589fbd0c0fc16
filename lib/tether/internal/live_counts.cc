// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/live_counts.h"

#include <pthread.h>

#include <new>

namespace tether::internal {
namespace {

// All cells ever made. Cells are never freed: a thread that ends leaves its
// cell and its counts to the next thread. Nothing here has a destructor, since
// threads may end and contexts may be destroyed after static destruction began.
std::atomic<LiveCell*> all_cells{nullptr};
std::atomic<int> free_cells{0};  // a hint
LiveCell shared_cell;  // for threads without a cell; changed atomically

// Called when a thread ends, by a pthread key. A thread_local with a destructor
// won't do: the C library allocates to register it, and aborts if that fails.
void GiveBack(void* cell) {
  live_cell = nullptr;
  static_cast<LiveCell*>(cell)->taken.store(false, std::memory_order_release);
  free_cells.fetch_add(1, std::memory_order_relaxed);
}

struct ThreadExitKey {
  ThreadExitKey() : usable(pthread_key_create(&key, GiveBack) == 0) {}
  pthread_key_t key;
  const bool usable;
};

const ThreadExitKey& ExitKey() {
  static const ThreadExitKey key;
  return key;
}

// Makes the key before main(). If it were made on demand, a thread could be
// making it while the process forks; the child would never see it finished.
[[maybe_unused]] const bool made_early = (ExitKey(), true);

LiveCell* TakeFreeCell() {
  if (free_cells.load(std::memory_order_relaxed) <= 0) return nullptr;
  for (LiveCell* cell = all_cells.load(std::memory_order_acquire);
       cell != nullptr; cell = cell->next) {
    if (!cell->taken.load(std::memory_order_relaxed) &&
        !cell->taken.exchange(true, std::memory_order_acquire)) {
      free_cells.fetch_sub(1, std::memory_order_relaxed);
      return cell;
    }
  }
  return nullptr;
}

LiveCell* MakeCell() {
  auto* cell = new (std::nothrow) LiveCell;
  if (cell == nullptr) return nullptr;
  cell->taken.store(true, std::memory_order_relaxed);
  cell->next = all_cells.load(std::memory_order_acquire);
  do {
    cell->number = cell->next == nullptr ? 1 : cell->next->number + 1;
  } while (!all_cells.compare_exchange_weak(
      cell->next, cell, std::memory_order_release, std::memory_order_acquire));
  return cell;
}

}  // namespace

thread_local LiveCell* live_cell = nullptr;

void TakeLiveCell() noexcept {
  const ThreadExitKey& on_exit = ExitKey();
  if (!on_exit.usable) return;
  LiveCell* cell = TakeFreeCell();
  if (cell == nullptr) cell = MakeCell();
  if (cell == nullptr) return;
  if (pthread_setspecific(on_exit.key, cell) != 0) return GiveBack(cell);
  live_cell = cell;
}

void CountInSlotSlow(int slot, int64_t delta) noexcept {
  TakeLiveCell();
  if (live_cell != nullptr) {
    return CountInSlot(slot, delta, std::memory_order_release);
  }
  shared_cell.counts[slot].fetch_add(delta, std::memory_order_release);
}

int64_t CountOfSlot(int slot) {
  int64_t total = shared_cell.counts[slot].load(std::memory_order_acquire);
  for (const LiveCell* cell = all_cells.load(std::memory_order_acquire);
       cell != nullptr; cell = cell->next) {
    total += cell->counts[slot].load(std::memory_order_acquire);
  }
  return total;
}

}  // namespace tether::internal
