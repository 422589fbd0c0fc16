// SPDX-License-Identifier: Apache-2.0
//
// Whether the servers of a channel understand packed headers
// (ClientOptions::packed).
//
// A call asks with an empty packed header beside its plain ones, and a server
// that unpacks says so in the trailers of its answer. One call a second asks,
// since a server may be replaced by an older one.
//
// Thread safety: any thread. Calls only read, except those that ask.

#ifndef TETHER_GRPC_INTERNAL_PACKED_SERVERS_H_
#define TETHER_GRPC_INTERNAL_PACKED_SERVERS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "tether/internal/nanos.h"

namespace tether::internal {

class PackedServers {
 public:
  enum class Form {
    kPlain,   // one header for each value
    kAsk,     // as kPlain, and an empty packed header
    kPacked,  // one header for all values
  };

  // How the call that is sent at `now` has to write its headers. `now` is on
  // the real clock.
  Form FormAt(Nanos now) {
    Nanos due = next_question_.load(std::memory_order_relaxed);
    if (now >= due && next_question_.compare_exchange_strong(
                          due, now + kPeriod, std::memory_order_relaxed)) {
      return Form::kAsk;
    }
    return understand_.load(std::memory_order_relaxed) ? Form::kPacked
                                                       : Form::kPlain;
  }

  // A call that asked has ended with `code`. `unpacks`: the trailers say so.
  void OnAnswer(bool unpacks, grpc::StatusCode code) {
    if (unpacks) {
      understand_.store(true, std::memory_order_relaxed);
      return;
    }
    // With these codes, it may be that no server has answered.
    switch (code) {
      case grpc::StatusCode::CANCELLED:
      case grpc::StatusCode::DEADLINE_EXCEEDED:
      case grpc::StatusCode::UNAVAILABLE:
        return;
      default:
        understand_.store(false, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr Nanos kPeriod = 1'000'000'000;

  std::atomic<Nanos> next_question_{kLongPast};
  std::atomic<bool> understand_{false};
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_PACKED_SERVERS_H_
