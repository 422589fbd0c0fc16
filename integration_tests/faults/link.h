// SPDX-License-Identifier: Apache-2.0
//
// A network link that delays, loses, reorders, repeats and drops packets.
//
// For tests only. Linux's own emulator (netem) is missing in many kernels, and
// its results depend on the kernel. This one needs only two TUN devices
// (net_namespace.h), or any two file descriptors that keep the boundaries of
// packets.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_LINK_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_LINK_H_

#include <array>
#include <cstdint>
#include <queue>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tether::faults {

// How one direction of a link treats its packets. The default: they arrive at
// once, all of them, in order.
struct LinkRules {
  absl::Duration delay;
  // Each packet takes up to so much longer, at random. The order is kept.
  absl::Duration jitter;
  double loss = 0;       // the fraction of packets that is lost
  double reorder = 0;    // the fraction that overtakes: it has no delay
  double duplicate = 0;  // the fraction that arrives twice
  // 0: unlimited. Packets for which `queue_bytes` has no room are dropped.
  int64_t bits_per_second = 0;
  int64_t queue_bytes = 32 << 10;
  // Larger packets are dropped, and nobody is told (no ICMP); 0: none are.
  size_t mtu = 0;
  bool drop_all = false;
};

struct LinkCounts {
  int64_t arrived = 0;  // at the link
  int64_t lost = 0;     // by `loss`
  int64_t overtook = 0;
  int64_t repeated = 0;
  int64_t no_room = 0;
  int64_t too_large = 0;
  int64_t dropped = 0;  // by `drop_all`
};

// Forwards packets between two file descriptors, on a thread of its own, until
// the destructor. Packets that wait for their delay when the rules change keep
// it, but `drop_all` drops them.
//
// Thread safety: any thread.
class Link {
 public:
  // The direction is named after the end that the packets leave.
  enum End : uint8_t { kA = 0, kB = 1 };

  // Takes the descriptors over. The same `seed` and the same packets at the
  // same times give the same result.
  Link(int end_a, int end_b, uint32_t seed);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void Set(End from, const LinkRules& rules) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetBoth(const LinkRules& rules);

  LinkCounts counts(End from) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Packet {
    absl::Time due;
    int64_t number;  // packets that are due at the same time keep their order
    End from;
    std::string bytes;

    bool operator<(const Packet& other) const {  // for priority_queue: later
      return due != other.due ? due > other.due : number > other.number;
    }
  };
  struct Direction {
    LinkRules rules;
    LinkCounts counts;
    absl::Time last_due = absl::InfinitePast();
    absl::Time line_is_free = absl::InfinitePast();  // for bits_per_second
  };

  void Run();
  // Reads all packets that have arrived at `from`.
  void Take(End from) ABSL_LOCKS_EXCLUDED(mutex_);
  void Admit(End from, std::string bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When a packet of `size` bytes arrives; InfiniteFuture(): never.
  absl::Time Due(Direction& direction, size_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sends the packets that are due. Returns the time until the next one.
  absl::Duration SendDue() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Chance(double probability) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::array<int, 2> ends_;
  const int stop_;  // an eventfd
  mutable absl::Mutex mutex_;
  std::array<Direction, 2> directions_ ABSL_GUARDED_BY(mutex_);
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
  std::priority_queue<Packet> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t packets_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_LINK_H_
