// SPDX-License-Identifier: Apache-2.0
//
// A server of "./bench.sh sidecar", without tether. A leaf answers itself. An
// app makes one call for each request, with --next. It copies the headers that
// OpenTelemetry's instrumentation would, and forgets deadline and cancellation.
//
// Prints its address. Reads commands:
//
//   release     answers all requests that wait
//   report      prints what was counted so far, as JSON on one line
//
// It ends at the end of its input.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "load/load.grpc.pb.h"
#include "scale.h"
#include "sidecar/held.grpc.pb.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/internal/mutex.h"
#include "worker.h"

ABSL_FLAG(std::string, next, "", "The leaf's address; empty: this is a leaf.");

namespace tether::benchmarks {
namespace {

class Waiting;

// The requests of this process. Any thread.
class Requests {
 public:
  void CountServed() { served_.fetch_add(1, std::memory_order_relaxed); }
  void CountCancelled() { cancelled_.fetch_add(1); }
  void Add(Waiting& one, bool has_deadline);
  // False: Release() has it, or it was removed already.
  bool Remove(Waiting& one);
  void Release();
  std::string Report();

 private:
  std::atomic<int64_t> served_{0};
  std::atomic<int64_t> cancelled_{0};
  internal::Mutex mutex_;
  std::unordered_set<Waiting*> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t with_deadline_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A request at the leaf that is answered on Release().
class Waiting final : public grpc::ServerUnaryReactor {
 public:
  Waiting(Requests& requests, bool has_deadline) : requests_(requests) {
    requests_.Add(*this, has_deadline);
  }

  void OnCancel() override {
    if (!requests_.Remove(*this)) return;
    requests_.CountCancelled();
    Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override { delete this; }

 private:
  Requests& requests_;
};

void Requests::Add(Waiting& one, bool has_deadline) {
  const internal::MutexLock lock(mutex_);
  waiting_.insert(&one);
  with_deadline_ += has_deadline ? 1 : 0;
}

bool Requests::Remove(Waiting& one) {
  const internal::MutexLock lock(mutex_);
  return waiting_.erase(&one) == 1;
}

void Requests::Release() {
  std::unordered_set<Waiting*> released;
  {
    const internal::MutexLock lock(mutex_);
    released.swap(waiting_);
  }
  for (Waiting* one : released) one->Finish(grpc::Status::OK);
}

std::string Requests::Report() {
  const internal::MutexLock lock(mutex_);
  return absl::StrCat("{\"served\": ", served_.load(),
                      ", \"cancelled\": ", cancelled_.load(),
                      ", \"waiting\": ", waiting_.size(),
                      ", \"with_deadline\": ", with_deadline_, "}");
}

// Answers each message of a stream.
class Echoing final : public grpc::ServerBidiReactor<Request, Reply> {
 public:
  Echoing() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (ok) {
      StartWrite(&reply_);
    } else {
      Finish(grpc::Status::OK);
    }
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }

  void OnDone() override { delete this; }

 private:
  Request request_;
  Reply reply_;
};

// A request at the app, and its call to the leaf.
class Relayed final : public grpc::ServerUnaryReactor {
 public:
  explicit Relayed(const grpc::CallbackServerContext& sc) {
    for (const char* header : {"traceparent", "tracestate", "baggage"}) {
      const auto values = sc.client_metadata().equal_range(header);
      for (auto it = values.first; it != values.second; ++it) {
        call_.AddMetadata(header,
                          std::string(it->second.data(), it->second.size()));
      }
    }
  }

  grpc::ClientContext* call() { return &call_; }

  // What to do at the end of the call.
  std::function<void(grpc::Status)> Answer() {
    return [this](grpc::Status status) { Finish(std::move(status)); };
  }

  void OnDone() override { delete this; }

 private:
  grpc::ClientContext call_;
};

class HopService final : public Hop::CallbackService {
 public:
  // Null `leaf`: this is the leaf.
  HopService(Requests& requests, Hop::Stub* leaf)
      : requests_(requests), leaf_(leaf) {}

  grpc::ServerUnaryReactor* Serve(grpc::CallbackServerContext* sc,
                                  const Request* request,
                                  Reply* reply) override {
    requests_.CountServed();
    if (leaf_ == nullptr) {
      grpc::ServerUnaryReactor* const reactor = sc->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    auto* const relayed = new Relayed(*sc);
    leaf_->async()->Serve(relayed->call(), request, reply, relayed->Answer());
    return relayed;
  }

 private:
  Requests& requests_;
  Hop::Stub* const leaf_;
};

class HeldService final : public Held::CallbackService {
 public:
  HeldService(Requests& requests, Held::Stub* leaf)
      : requests_(requests), leaf_(leaf) {}

  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext* sc,
                                 const Request* request,
                                 Reply* reply) override {
    if (leaf_ == nullptr) {
      const bool has_deadline =
          sc->deadline() != std::chrono::system_clock::time_point::max();
      return new Waiting(requests_, has_deadline);
    }
    auto* const relayed = new Relayed(*sc);
    leaf_->async()->Wait(relayed->call(), request, reply, relayed->Answer());
    return relayed;
  }

  grpc::ServerBidiReactor<Request, Reply>* Chat(
      grpc::CallbackServerContext*) override {
    return new Echoing();
  }

 private:
  Requests& requests_;
  Held::Stub* const leaf_;
};

void Obey(Requests& requests) {
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "release") {
      requests.Release();
    } else if (line == "report") {
      std::cout << requests.Report() << std::endl;
    } else {
      Die("unknown command '" + line + "'");
    }
  }
}

void Run() {
  RaiseFileLimit();  // nginx opens a connection for each call in flight
  std::unique_ptr<Hop::Stub> hop;
  std::unique_ptr<Held::Stub> held;
  if (const std::string next = absl::GetFlag(FLAGS_next); !next.empty()) {
    const auto channel =
        grpc::CreateChannel(next, grpc::InsecureChannelCredentials());
    hop = Hop::NewStub(channel);
    held = Held::NewStub(channel);
  }
  Requests requests;
  HopService hop_service(requests, hop.get());
  HeldService held_service(requests, held.get());
  grpc::ServerBuilder builder;
  builder.RegisterService(&hop_service);
  builder.RegisterService(&held_service);
  // gRPC pings a connection to measure its bandwidth. nginx closes its
  // connections to the leaf if that comes while they are idle.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const testing::LoopbackServer started = testing::ListenOnLoopback(builder);
  std::cout << started.address << std::endl;
  Obey(requests);
  // Shutdown would wait for an app's calls, which nobody ends.
  std::_Exit(0);
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  tether::benchmarks::Run();
}
