// SPDX-License-Identifier: Apache-2.0
//
// The operations of one gRPC call, which its one thread begins and awaits.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_OPERATIONS_H_
#define TETHER_SIDECAR_TESTING_OPERATIONS_H_

#include <grpcpp/grpcpp.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

// A completion queue of its own for each call. At most one operation of a kind
// runs at a time.
//
// Thread safety: none.
class Operations {
 public:
  enum Kind : intptr_t {
    kStart,
    kHeaders,
    kRead,
    kWrite,
    kHalfClose,
    kFinish,
    kEnd,  // of a server's call: AsyncNotifyWhenDone
    kKinds,
  };
  enum class Result : char { kRunning, kFailed, kOk };

  // Returns the tag of an operation that begins.
  void* Begin(Kind kind);

  // Waits for the end of an operation that Begin began. kRunning: it didn't end
  // in time. If the time is kGiveUp, the current test fails then.
  Result Wait(Kind kind, absl::Duration time = tether::testing::kGiveUp);

  // Waits for all operations. First make sure that they end: cancel the call.
  void Drain();

  grpc::CompletionQueue* queue() { return &queue_; }

 private:
  static void* TagOf(Kind kind) { return reinterpret_cast<void*>(kind + 1); }
  void Note(void* tag, bool ok);

  grpc::CompletionQueue queue_;
  std::array<Result, kKinds> results_ = {};
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_OPERATIONS_H_
