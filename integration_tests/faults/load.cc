// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/load.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "integration_tests/matrix/client.h"
#include "tether/context.h"
#include "tether/grpc/client.h"

namespace tether::faults {

using matrix::Kind;
using matrix::Request;

namespace {

constexpr absl::Duration kPause = absl::Milliseconds(5);

}  // namespace

std::string ToString(const CallRecord& call) {
  return absl::StrCat(
      matrix::Name(call.style), " ", matrix::Name(call.kind), " request ",
      static_cast<int>(call.request), call.during_fault ? " in the fault" : "",
      " timeout ",
      absl::StrCat(absl::FormatDuration(call.timeout), ": code ",
                   call.status.error_code(), " ", call.status.error_message(),
                   ", late by ", absl::FormatDuration(call.late)));
}

Load::Load(uint32_t seed, Mix mix,
           std::vector<std::shared_ptr<grpc::Channel>> channels,
           bool fault_has_begun)
    : mix_(std::move(mix)),
      channels_(std::move(channels)),
      fault_(fault_has_begun),
      threads_to_go_(mix_.threads) {
  for (int i = 0; i < mix_.threads; ++i) {
    threads_.emplace_back([this, mine = seed + i] { Run(mine); });
  }
}

Load::~Load() { Join(); }

void Load::AwaitCallsInFault() {
  const absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](int* to_go) { return *to_go == 0; }, &threads_to_go_));
}

std::vector<CallRecord> Load::Join() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  const absl::MutexLock lock(&mutex_);
  return records_;
}

void Load::Run(uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&random](size_t count) { return random() % count; };
  for (int calls = 0; !stop_;) {
    CallRecord plan;
    plan.during_fault = fault_;
    plan.request = mix_.requests[pick(mix_.requests.size())];
    plan.kind = plan.request == Request::kWriteToEnd
                    ? Kind::kDownload
                    : matrix::kKinds[pick(std::size(matrix::kKinds))];
    plan.style = matrix::kClientStyles[pick(std::size(matrix::kClientStyles))];
    plan.timeout = absl::Milliseconds(200 + pick(301));
    const bool failed = CallOnce(plan, channels_[pick(channels_.size())]);
    if (plan.during_fault && ++calls == mix_.calls) {
      const absl::MutexLock lock(&mutex_);
      --threads_to_go_;
    }
    // As clients do that try again. It leaves a small machine some time.
    if (failed) absl::SleepFor(kPause);
  }
}

bool Load::CallOnce(const CallRecord& plan,
                    const std::shared_ptr<grpc::Channel>& channel) {
  CallRecord record = plan;
  ++started_;
  const absl::Time deadline = absl::Now() + record.timeout;
  {
    const auto [ctx, cancel] = WithDeadline(Background(), deadline);
    ClientCall call(ctx);
    record.status =
        matrix::Call(record.style, record.kind, channel, &call, record.request)
            .status;
    record.late = absl::Now() - deadline;
  }
  const bool failed = record.status.error_code() == grpc::UNAVAILABLE;
  const absl::MutexLock lock(&mutex_);
  records_.push_back(std::move(record));
  return failed;
}

}  // namespace tether::faults
