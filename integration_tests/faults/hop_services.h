// SPDX-License-Identifier: Apache-2.0
//
// The services of the hops of faults_test: a leaf, and a relay that passes
// everything on to the next hop, each for gRPC's sync and its callback API.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_HOP_SERVICES_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_HOP_SERVICES_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "tether/context.h"

namespace tether::faults {

// What the handlers of a process have done.
struct Work {
  std::atomic<int64_t> entered{0};  // handlers that began
  std::atomic<int64_t> active{0};   // that have not ended
  // By how much the latest handler outlived its context's deadline.
  std::atomic<int64_t> late_us{0};
};

// A handler at work.
class AtWork {
 public:
  AtWork(Work& work, const Context& ctx);
  ~AtWork() { --work_.active; }
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;

  // The handler has decided its answer.
  void Ends();

 private:
  Work& work_;
  const absl::Time deadline_;
};

// The leaf treats matrix::Request's kAnswer, kWait and kWriteToEnd as the
// matrix's servers do. `next`: nullptr for a leaf, otherwise a relay.
std::unique_ptr<grpc::Service> MakeSyncService(
    Work& work, const std::shared_ptr<grpc::Channel>& next);
std::unique_ptr<grpc::CallbackGenericService> MakeCallbackService(
    Work& work, const std::shared_ptr<grpc::Channel>& next);

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_HOP_SERVICES_H_
