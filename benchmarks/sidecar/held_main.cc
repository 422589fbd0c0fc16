// SPDX-License-Identifier: Apache-2.0
//
// A client of "./bench.sh sidecar" that has many calls in flight at once. It
// doesn't use tether. It starts them, prints "open", and waits for a line:
//
//   streams     each has got the answer to a message. At the line, they end.
//   unary       the leaf answers them when it is told to; the line only says
//               that it was.
//   cancel      unary calls that the client cancels at the line
//
// When all have ended, it prints {"ended": {CODE: NUMBER, …}, "ms": M}. M is
// the time from the line to the last end.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "load/load.pb.h"
#include "sidecar/held.grpc.pb.h"
#include "tether/internal/mutex.h"
#include "worker.h"

ABSL_FLAG(std::string, target, "", "The server's or the proxy's address.");
ABSL_FLAG(std::string, kind, "streams", "streams, unary or cancel");
ABSL_FLAG(int, calls, 100, "How many.");
ABSL_FLAG(absl::Duration, timeout, absl::Minutes(10), "The calls' deadline.");

namespace tether::benchmarks {
namespace {

// A proxy may open a connection for each call. So they begin a few at a time.
constexpr int kAtOnce = 50;
constexpr auto kPause = std::chrono::milliseconds(10);
constexpr auto kLongest = std::chrono::minutes(2);

// What became of the calls.
class Tally {
 public:
  // A stream was answered, or has ended without.
  void AddOpen() {
    const internal::MutexLock lock(mutex_);
    ++open_;
    changed_.NotifyAll();
  }

  void AddEnd(grpc::StatusCode code) {
    const internal::MutexLock lock(mutex_);
    ++ended_[code];
    ++all_ended_;
    changed_.NotifyAll();
  }

  void AwaitOpen(int n) { Await(n, open_); }
  void AwaitEnds(int n) { Await(n, all_ended_); }

  std::string Ended() {
    const internal::MutexLock lock(mutex_);
    std::string json;
    for (const auto& [code, number] : ended_) {
      absl::StrAppend(&json, json.empty() ? "" : ", ", "\"", code,
                      "\": ", number);
    }
    return json;
  }

 private:
  void Await(int n, const int& count) {
    const internal::MutexLock lock(mutex_);
    const auto end = std::chrono::steady_clock::now() + kLongest;
    while (count < n) {
      if (std::chrono::steady_clock::now() > end) {
        Die(absl::StrCat("only ", count, " of ", n, " calls got on"));
      }
      changed_.WaitUntil(mutex_, end);
    }
  }

  internal::Mutex mutex_;
  internal::CondVar changed_;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
  int all_ended_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<int, int> ended_ ABSL_GUARDED_BY(mutex_);
};

class Call {
 public:
  virtual ~Call() = default;
  // The line has come.
  virtual void End() {}
};

grpc::ClientContext* WithDeadline(grpc::ClientContext* rpc) {
  rpc->set_deadline(std::chrono::system_clock::now() +
                    absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_timeout)));
  return rpc;
}

class Stream final : public Call,
                     public grpc::ClientBidiReactor<Request, Reply> {
 public:
  Stream(Held::Stub& stub, Tally& tally) : tally_(tally) {
    stub.async()->Chat(WithDeadline(&rpc_), this);
    AddHold();  // until End(), which is no reaction
    StartRead(&reply_);
    StartWrite(&request_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!open_) tally_.AddOpen();
    open_ = true;
    if (ok) StartRead(&reply_);
  }

  void OnDone(const grpc::Status& status) override {
    tally_.AddEnd(status.error_code());
  }

  void End() override {
    StartWritesDone();
    RemoveHold();
  }

 private:
  Tally& tally_;
  grpc::ClientContext rpc_;
  Request request_;
  Reply reply_;
  bool open_ = false;
};

class Unary final : public Call {
 public:
  Unary(Held::Stub& stub, Tally& tally, bool cancels) : cancels_(cancels) {
    stub.async()->Wait(WithDeadline(&rpc_), &request_, &reply_,
                       [&tally](const grpc::Status& status) {
                         tally.AddEnd(status.error_code());
                       });
  }

  void End() override {
    if (cancels_) rpc_.TryCancel();
  }

 private:
  const bool cancels_;
  grpc::ClientContext rpc_;
  Request request_;
  Reply reply_;
};

void Run(const std::string& kind, int n) {
  if (kind != "streams" && kind != "unary" && kind != "cancel") {
    Die("unknown kind '" + kind + "'");
  }
  const bool streams = kind == "streams";
  const auto stub = Held::NewStub(grpc::CreateChannel(
      absl::GetFlag(FLAGS_target), grpc::InsecureChannelCredentials()));
  Tally tally;
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 1; i <= n; ++i) {
    if (streams) {
      calls.push_back(std::make_unique<Stream>(*stub, tally));
    } else {
      calls.push_back(std::make_unique<Unary>(*stub, tally, kind == "cancel"));
    }
    if (i % kAtOnce != 0) continue;
    if (streams) tally.AwaitOpen(i);
    if (!streams) std::this_thread::sleep_for(kPause);
  }
  if (streams) tally.AwaitOpen(n);
  std::cout << "open" << std::endl;
  std::string line;
  // The end of the input: nobody wants to know.
  if (!std::getline(std::cin, line)) std::_Exit(1);
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& call : calls) call->End();
  tally.AwaitEnds(n);
  std::cout << "{\"ended\": {" << tally.Ended()
            << "}, \"ms\": " << MicrosecondsSince(begin) / 1000 << "}"
            << std::endl;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  tether::benchmarks::Run(absl::GetFlag(FLAGS_kind),
                          absl::GetFlag(FLAGS_calls));
}
