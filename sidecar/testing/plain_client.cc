// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/plain_client.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "sidecar/testing/blocking_call.h"
#include "sidecar/testing/scripted_server.h"
#include "tether/internal/mutex.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

grpc::Status PlainCall::Wait() {
  if (!EndsWithin(tether::testing::kGiveUp)) {
    ADD_FAILURE() << "a call of " << method_ << " doesn't end";
    Cancel();
    ended_.WaitForNotification();
  }
  return status_;
}

std::multimap<std::string, std::string> PlainCall::received() const {
  std::multimap<std::string, std::string> received;
  for (const auto* metadata : {&context_.GetServerInitialMetadata(),
                               &context_.GetServerTrailingMetadata()}) {
    for (const auto& [name, value] : *metadata) {
      received.emplace(std::string(name.data(), name.size()),
                       std::string(value.data(), value.size()));
    }
  }
  return received;
}

class PlainClient::Running {
 public:
  void Add(const std::shared_ptr<PlainCall>& call) {
    internal::MutexLock lock(mutex_);
    calls_.insert(call);
  }
  // Drops the call here, not where the last callback runs.
  void Remove(std::shared_ptr<PlainCall> call) {
    internal::MutexLock lock(mutex_);
    calls_.erase(call);
    call.reset();
    none_.NotifyAll();
  }
  void CancelAndWait() {
    internal::MutexLock lock(mutex_);
    for (const auto& call : calls_) call->Cancel();
    while (!calls_.empty()) none_.Wait(mutex_);
  }

 private:
  internal::Mutex mutex_;
  internal::CondVar none_;
  std::set<std::shared_ptr<PlainCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

PlainClient::PlainClient(const std::string& address)
    : PlainClient(grpc::CreateCustomChannel(
          address, grpc::InsecureChannelCredentials(), RoomyChannel())) {}

PlainClient::PlainClient(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(channel), running_(std::make_shared<Running>()) {}

PlainClient::~PlainClient() { running_->CancelAndWait(); }

std::shared_ptr<PlainCall> PlainClient::Call(const Request& request,
                                             Done done) {
  auto call = std::make_shared<PlainCall>();
  call->method_ = request.method;
  call->request_buffer_ = ToBuffer(request.message);
  for (const auto& [name, value] : request.headers) {
    call->context_.AddMetadata(name, value);
  }
  call->context_.set_wait_for_ready(request.wait_for_ready);
  if (request.timeout != absl::InfiniteDuration()) {
    call->context_.set_deadline(
        absl::ToChronoTime(absl::Now() + request.timeout));
  }
  running_->Add(call);
  PlainCall* const mine = call.get();
  stub_.UnaryCall(&mine->context_, mine->method_, {}, &mine->request_buffer_,
                  &mine->reply_buffer_,
                  [call, running = running_,
                   done = std::move(done)](const grpc::Status& status) mutable {
                    call->ended_at_ = absl::Now();
                    call->status_ = status;
                    if (status.ok()) {
                      call->reply_ = ToString(call->reply_buffer_);
                    }
                    if (done) done(*call);
                    done = nullptr;
                    call->ended_.Notify();
                    running->Remove(std::move(call));
                  });
  return call;
}

}  // namespace tether::sidecar::testing
