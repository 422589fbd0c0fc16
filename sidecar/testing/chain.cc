// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/chain.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sidecar/testing/channel.h"
#include "sidecar/testing/start.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar::testing {

using tether::testing::kGiveUp;

void Chain::Log::Add(const UnaryApp::Held& request) {
  internal::MutexLock lock(mutex_);
  requests_[request->message()] = request;
  ++count_;
}

UnaryApp::Held Chain::Log::Await(const std::string& message) {
  const absl::Time give_up = absl::Now() + kGiveUp;
  while (absl::Now() < give_up) {
    {
      internal::MutexLock lock(mutex_);
      const auto it = requests_.find(message);
      if (it != requests_.end()) return it->second;
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  ADD_FAILURE() << "no request \"" << message << "\" has arrived";
  return std::make_shared<UnaryApp::Request>();
}

size_t Chain::Log::size() {
  internal::MutexLock lock(mutex_);
  return count_;
}

void Chain::Log::Clear() {
  internal::MutexLock lock(mutex_);
  requests_.clear();
}

void Chain::Start(Mode mode) {
  leaf_ = std::make_unique<UnaryApp>([this](const UnaryApp::Held& request) {
    at_leaf_log_.Add(request);
    at_leaf_(request);
  });
  front_ = std::make_unique<UnaryApp>([this](const UnaryApp::Held& request) {
    at_front_log_.Add(request);
    at_front_(request);
  });

  leaf_options_.mode = mode;
  leaf_options_.ingress.app = leaf_->address();
  leaf_sidecar_ = StartOnLoopback(leaf_options_);

  front_options_.mode = mode;
  front_options_.ingress.app = front_->address();
  if (front_options_.egress.empty()) front_options_.egress.emplace_back();
  for (EgressOptions& egress : front_options_.egress) {
    egress.target = AddressOf(leaf_sidecar_->ingress_port());
  }
  front_sidecar_ = StartOnLoopback(front_options_);
  const std::string to_leaf = AddressOf(front_sidecar_->egress_port(0));
  WarmUp(front_address());
  WarmUp(to_leaf);
  before_ = front_sidecar_->counters();
  found_before_ = front_sidecar_->correlator_stats();
  to_leaf_ = std::make_unique<PlainClient>(ConnectedChannel(to_leaf));
  client_ = std::make_unique<PlainClient>(ConnectedChannel(front_address()));
}

std::string Chain::front_address() const {
  return AddressOf(front_sidecar_->ingress_port());
}

int64_t Chain::CountedOnce(Count count, int64_t least) const {
  const absl::Time give_up = absl::Now() + kPrompt;
  while (Counted(count) < least && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  return Counted(count);
}

void Chain::Stop() {
  // Their destructors end the calls of both applications.
  leaf_.reset();
  front_.reset();
  // Its handlers used this.
  to_leaf_.reset();
  client_.reset();
  front_sidecar_.reset();
  leaf_sidecar_.reset();
  at_front_log_.Clear();
  at_leaf_log_.Clear();
}

void Chain::TearDown() {
  Stop();
  GrpcLeakCheckedTest::TearDown();
}

std::shared_ptr<PlainCall> Chain::CallLeaf(const UnaryApp::Held& request,
                                           PlainClient::Done done) {
  PlainClient::Request call{kLeafMethod, {}, request->message(), own_timeout_};
  for (const auto& [name, value] : request->headers()) {
    if (carried_.count(name) != 0) call.headers.emplace_back(name, value);
  }
  return to_leaf_->Call(call, std::move(done));
}

std::shared_ptr<PlainCall> Chain::CallLeaf(PlainClient::Request request) {
  return to_leaf_->Call(request);
}

void Chain::Forward(const UnaryApp::Held& request) {
  CallLeaf(request, [request](PlainCall& call) {
    request->Answer(call.status(), call.reply());
  });
}

UnaryApp::Held Chain::LeafRequest(const std::string& message) {
  return at_leaf_log_.Await(message);
}

UnaryApp::Held Chain::FrontRequest(const std::string& message) {
  return at_front_log_.Await(message);
}

size_t Chain::leaf_requests() { return at_leaf_log_.size(); }

size_t Chain::front_requests() { return at_front_log_.size(); }

}  // namespace tether::sidecar::testing
