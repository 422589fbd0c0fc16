// SPDX-License-Identifier: Apache-2.0
//
// The counts behind GetGrpcStats(). All are numbers of events, so none of them
// ever falls.
//
// Threads count in cells of their own (live_counts.h), so a call writes nothing
// that another core writes, too.
//
// Thread safety: any thread. Nothing takes a lock or throws.

#ifndef TETHER_GRPC_INTERNAL_COUNTERS_H_
#define TETHER_GRPC_INTERNAL_COUNTERS_H_

#include <atomic>
#include <cstdint>

#include "tether/internal/live_counts.h"

namespace tether::internal {

// Those of every call come first. They are in the cache line of the counts of
// contexts.
enum class RpcEvent : uint8_t {
  kServerCallMade,
  kServerCallArrived,  // its headers are here, or it ended without them
  kServerCallGone,
  kClientCallMade,
  kClientCallGone,
  kWatchMade,
  kWatchGone,
  kBadTimeout,
  kBadReport,
  kBadPacked,
  kShed,
  kOversized,
  kException,
  kContextNotFound,  // the last one
};
static_assert(static_cast<int>(RpcEvent::kContextNotFound) < kUpperSlots);

inline int SlotOf(RpcEvent event) {
  return kFirstUpperSlot + static_cast<int>(event);
}

inline void CountEvent(RpcEvent event) noexcept {
  CountInSlot(SlotOf(event), 1, std::memory_order_release);
}

// How often `event` has happened. O(number of threads).
inline int64_t CountOf(RpcEvent event) { return CountOfSlot(SlotOf(event)); }

// The number of things for which `first` has happened, but not yet `last`,
// which comes later. Never less than the number at some moment of the call, and
// never less than 0. Things may be included to which either event happens
// during the call.
inline int64_t CountBetween(RpcEvent first, RpcEvent last) {
  // Read in this order. Whoever finds a thing's last event also finds its first
  // one, which happened before. The other order would count the last event of a
  // thing, but not the first, if both happen in between.
  const int64_t over = CountOf(last);
  return CountOf(first) - over;
}

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_COUNTERS_H_
