// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/unary_app.h"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sidecar/testing/blocking_call.h"
#include "sidecar/testing/scripted_server.h"

namespace tether::sidecar::testing {

// The request's lock is held while an answer begins, so that the reactor lives
// until then: gRPC destroys it only after an answer.
class UnaryApp::Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(const Handler& handler, const grpc::GenericCallbackServerContext& sc)
      : handler_(handler), request_(std::make_shared<Request>()) {
    {
      internal::MutexLock lock(request_->mutex_);
      request_->reactor_ = this;
    }
    request_->method_ = sc.method();
    for (const auto& [name, value] : sc.client_metadata()) {
      request_->headers_.emplace(std::string(name.data(), name.size()),
                                 std::string(value.data(), value.size()));
    }
    const auto deadline = sc.deadline();
    request_->timeout_ =
        deadline == std::chrono::system_clock::time_point::max()
            ? absl::InfiniteDuration()
            : absl::FromChrono(deadline) - absl::Now();
    StartRead(&buffer_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      return request_->Answer(
          grpc::Status(grpc::StatusCode::INTERNAL, "no message"));
    }
    request_->message_ = ToString(buffer_);
    handler_(request_);
  }

  void OnCancel() override {
    request_->cancelled_at_ = absl::Now();
    request_->cancelled_.Notify();
    request_->Answer(grpc::Status::CANCELLED);
  }

  void OnDone() override { delete this; }

  void Answer(const grpc::Status& status, const std::string& reply) {
    if (!status.ok()) return Finish(status);
    buffer_ = ToBuffer(reply);
    StartWriteAndFinish(&buffer_, {}, status);
  }

 private:
  const Handler& handler_;
  const Held request_;
  grpc::ByteBuffer buffer_;
};

class UnaryApp::Service final : public grpc::CallbackGenericService {
 public:
  explicit Service(UnaryApp::Handler handler) : handler_(std::move(handler)) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* sc) override {
    return new Reactor(handler_, *sc);
  }

 private:
  const UnaryApp::Handler handler_;
};

std::string UnaryApp::Request::header(const std::string& name) const {
  std::string values;
  const auto [begin, end] = headers_.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    absl::StrAppend(&values, it == begin ? "" : ",", it->second);
  }
  return values;
}

void UnaryApp::Request::Answer(const grpc::Status& status,
                               const std::string& reply) {
  internal::MutexLock lock(mutex_);
  if (Reactor* const reactor = std::exchange(reactor_, nullptr)) {
    ended_at_ = absl::Now();
    reactor->Answer(status, reply);
    ended_.Notify();
  }
}

UnaryApp::UnaryApp(Handler handler, const std::string& listen)
    : service_(std::make_unique<Service>(std::move(handler))) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  builder.RegisterCallbackGenericService(service_.get());
  int port = 0;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    std::cerr << "no server can be started on " << listen << std::endl;
    std::abort();
  }
  const bool has_port = absl::StartsWith(listen, "127.");
  address_ = has_port ? absl::StrCat("127.0.0.1:", port) : listen;
}

UnaryApp::~UnaryApp() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

}  // namespace tether::sidecar::testing
