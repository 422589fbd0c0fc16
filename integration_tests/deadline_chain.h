// A chain of servers on loopback that pass a call on at once, each over a
// connection of its own, and what each of them believes of its deadline: with
// tether, or as plain gRPC propagates it (ClientContext::FromServerContext).
//
//   DeadlineChain chain(Reserve());          // nullopt: plain gRPC
//   const auto passage = chain.Call(absl::Milliseconds(200));
//   if (passage) passage->Drift()            // of the last hop
//
// For tests and benchmarks only.

#ifndef TETHER_INTEGRATION_TESTS_DEADLINE_CHAIN_H_
#define TETHER_INTEGRATION_TESTS_DEADLINE_CHAIN_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/testing/probe.grpc.pb.h"

namespace tether {

// One call through the chain. All times are of CLOCK_MONOTONIC, since its
// epoch.
struct Passage {
  struct Hop {
    absl::Duration sent;      // right before its caller made the call
    absl::Duration arrived;   // when its handler began
    absl::Duration deadline;  // that its handler believes in

    // What the message took, and gRPC and tether at both ends of it.
    absl::Duration Latency() const { return arrived - sent; }
    // Long enough for the hop to keep a reserve of its own (reserve.h).
    bool Waited() const { return Latency() > absl::Milliseconds(5); }
  };

  absl::Duration deadline;  // the origin's
  std::vector<Hop> hops;

  // How much later than the origin's the last hop's deadline is.
  absl::Duration Drift() const { return hops.back().deadline - deadline; }

  // Of all hops together.
  absl::Duration Latencies() const;
};

// The first bound that `passage` breaks, in words; empty if it keeps all:
//
//  - No hop's deadline is later than its caller's by more than the message
//    took, less the reserve.
//  - None is earlier than its caller's by more than the reserve and 2 ms.
//  - The last hop's is later than the origin's by at most the latencies, less
//    the reserves, and 1 ms.
//
// They hold however busy the machine is: what it delays is measured. What a
// message takes can't be subtracted by anyone, since clocks of hosts differ; it
// is the reserve that makes up for it.
std::string BrokenBound(const Passage& passage, const Reserve& reserve);

// Thread safety: none.
class DeadlineChain {
 public:
  // `reserve`: of all calls, the origin's too; nullopt: without tether.
  explicit DeadlineChain(const std::optional<Reserve>& reserve,
                         size_t hops = 8);
  ~DeadlineChain();
  DeadlineChain(const DeadlineChain&) = delete;
  DeadlineChain& operator=(const DeadlineChain&) = delete;

  // Nullopt when the call failed: on a machine that is too busy for `timeout`.
  std::optional<Passage> Call(absl::Duration timeout);

  // Connects all, with a call without a deadline, which leaves no trace in the
  // connections. False when that fails.
  bool Connect();

 private:
  class Relay;
  struct Link;
  // What the hops say of one call. They may do so when it has failed already.
  struct Record {
    explicit Record(int32_t call) : number(call) {}
    const int32_t number;  // of the call, which its messages carry
    absl::Mutex mutex;
    Passage passage ABSL_GUARDED_BY(mutex);
  };

  grpc::Status Call(absl::Duration timeout, Record& record);
  std::shared_ptr<Record> record() const;

  const std::optional<Reserve> reserve_;
  int32_t calls_ = 0;
  std::vector<std::unique_ptr<Link>> links_;  // the last hop first

  mutable absl::Mutex mutex_;
  std::shared_ptr<Record> record_ ABSL_GUARDED_BY(mutex_);  // of this call
};

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_DEADLINE_CHAIN_H_
