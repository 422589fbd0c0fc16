// SPDX-License-Identifier: Apache-2.0
//
// Calls of all kinds from several threads, and their outcomes.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_LOAD_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_LOAD_H_

#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/request.h"

namespace tether::faults {

// One call, its outcome and its end.
struct CallRecord {
  matrix::Request request;
  matrix::Kind kind;
  matrix::ClientStyle style;
  absl::Duration timeout;
  bool during_fault = false;  // it began after Load::FaultHasBegun
  grpc::Status status;
  absl::Duration late;  // after its deadline; negative: before
};

std::string ToString(const CallRecord& call);

class Load {
 public:
  struct Mix {
    int threads = 8;
    int calls = 5;  // of each thread in the fault, at least
    // The requests that it picks from.
    std::vector<matrix::Request> requests = {matrix::Request::kAnswer,
                                             matrix::Request::kWait};
  };

  // Starts the calls: one after another in each thread, until Join. Each thread
  // picks from `channels`.
  Load(uint32_t seed, Mix mix,
       std::vector<std::shared_ptr<grpc::Channel>> channels,
       bool fault_has_begun);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void FaultHasBegun() { fault_ = true; }

  // Waits until Mix::calls of each thread have ended in the fault.
  void AwaitCallsInFault() ABSL_LOCKS_EXCLUDED(mutex_);

  // Starts no more calls, and waits until all have ended. Returns all of them.
  std::vector<CallRecord> Join();

  int64_t started() const { return started_.load(); }

 private:
  void Run(uint32_t seed);
  // Returns whether the callee was unavailable.
  bool CallOnce(const CallRecord& plan,
                const std::shared_ptr<grpc::Channel>& channel)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const Mix mix_;
  const std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::atomic<bool> fault_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> started_{0};
  absl::Mutex mutex_;
  int threads_to_go_ ABSL_GUARDED_BY(mutex_);
  std::vector<CallRecord> records_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_LOAD_H_
