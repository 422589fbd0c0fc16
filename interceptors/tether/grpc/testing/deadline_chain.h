// SPDX-License-Identifier: Apache-2.0
//
// A chain of servers on loopback that forward a call at once, each over its own
// connection, and record the deadline that they see: with tether, or as plain
// gRPC propagates it (ClientContext::FromServerContext).
//
//   DeadlineChain chain(Reserve());          // nullopt: plain gRPC
//   const auto passage = chain.Call(absl::Milliseconds(200));
//   if (passage) passage->Drift()            // of the last hop
//
// For tests and benchmarks only.

#ifndef TETHER_GRPC_TESTING_DEADLINE_CHAIN_H_
#define TETHER_GRPC_TESTING_DEADLINE_CHAIN_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/testing/probe.grpc.pb.h"
#include "tether/internal/mutex.h"

namespace tether::testing {

// One call through the chain. All times are CLOCK_MONOTONIC, since its epoch.
struct Passage {
  struct Hop {
    absl::Duration sent;      // right before the hop's caller made the call
    absl::Duration arrived;   // when the hop's handler began
    absl::Duration deadline;  // as the hop's handler sees it
    // Core's own, which `grpc-timeout` set.
    absl::Duration core_deadline = absl::InfiniteDuration();

    // The time that the message took, with gRPC and tether at both ends.
    absl::Duration Latency() const { return arrived - sent; }
  };

  absl::Duration deadline;  // at the origin
  std::vector<Hop> hops;

  // How much later the deadline is at the last hop than at the origin.
  absl::Duration Drift() const { return hops.back().deadline - deadline; }

  // The sum over all hops.
  absl::Duration Latencies() const;
};

// Describes the first bound that `passage` breaks; empty if it breaks none:
//
//  - No hop's deadline is later than its caller's by more than the message
//    took, less the reserve.
//  - No hop's deadline is earlier than its caller's, or than core's, by more
//    than the reserve and 2 ms. (`grpc-timeout` is rounded up. But core reads
//    its clock once for several events, and counts from that moment, so a
//    thread that stands still then makes its deadline too early.)
//  - The last hop's deadline is later than the origin's by at most the
//    latencies, less the reserves, and 1 ms.
//
// The bounds hold however busy the machine is, because its delays are measured.
// No hop can subtract the time that a message takes, since the clocks of hosts
// differ; the reserve makes up for it.
std::string BrokenBound(const Passage& passage, const Reserve& reserve);

// Thread safety: none.
class DeadlineChain {
 public:
  // `reserve` is for all calls, the origin's too; nullopt: without tether.
  explicit DeadlineChain(const std::optional<Reserve>& reserve,
                         size_t hops = 8);
  ~DeadlineChain();
  DeadlineChain(const DeadlineChain&) = delete;
  DeadlineChain& operator=(const DeadlineChain&) = delete;

  // Nullopt if the call failed: the machine is too busy for `timeout`.
  std::optional<Passage> Call(absl::Duration timeout);

  // Connects all hops by a call without a deadline, so that no connection has
  // sent a timeout. False if the call fails.
  bool Connect();

 private:
  class Relay;
  struct Link;
  // The hops' records of one call. A hop may add to it after the call has
  // failed.
  struct Record {
    explicit Record(int32_t call) : number(call) {}
    const int32_t number;  // identifies the call in its messages
    internal::Mutex mutex;
    Passage passage ABSL_GUARDED_BY(mutex);
  };

  grpc::Status Call(absl::Duration timeout, Record& record);
  std::shared_ptr<Record> record() const;

  const std::optional<Reserve> reserve_;
  int32_t calls_ = 0;
  std::vector<std::unique_ptr<Link>> links_;  // the last hop first

  mutable internal::Mutex mutex_;
  std::shared_ptr<Record> record_
      ABSL_GUARDED_BY(mutex_);  // of the current call
};

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_DEADLINE_CHAIN_H_
