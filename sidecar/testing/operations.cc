// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/operations.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"

namespace tether::sidecar::testing {

void* Operations::Begin(Kind kind) {
  results_[kind] = Result::kRunning;
  return TagOf(kind);
}

void Operations::Note(void* tag, bool ok) {
  const auto kind = static_cast<size_t>(reinterpret_cast<intptr_t>(tag) - 1);
  results_[kind] = ok ? Result::kOk : Result::kFailed;
}

Operations::Result Operations::Wait(Kind kind, absl::Duration time) {
  const auto give_up = absl::ToChronoTime(absl::Now() + time);
  while (results_[kind] == Result::kRunning) {
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, give_up) !=
        grpc::CompletionQueue::GOT_EVENT) {
      if (time == tether::testing::kGiveUp) {
        ADD_FAILURE() << "an operation of kind " << kind << " doesn't end";
      }
      return Result::kRunning;
    }
    Note(tag, ok);
  }
  return results_[kind];
}

void Operations::Drain() {
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) Note(tag, ok);
}

}  // namespace tether::sidecar::testing
