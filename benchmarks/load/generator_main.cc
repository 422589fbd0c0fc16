// SPDX-License-Identifier: Apache-2.0
//
// The clients of the chain that ./bench.sh load measures, in one process. They
// don't use tether. Prints what became of each request as JSON:
//
//   {"begin_ns": N, "requests": [[INTENDED_NS, TAKEN_NS, CODE, ATTEMPTS], …]}
//
// The load is open: requests begin at random times (Poisson) with a fixed mean
// rate, whether earlier ones have been answered or not. A request's time counts
// from the moment at which it was meant to begin, so a client that is late
// can't hide a delay ("coordinated omission").

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "load/load.grpc.pb.h"
#include "tether/internal/mutex.h"
#include "worker.h"

ABSL_FLAG(std::string, target, "", "The first hop's address.");
ABSL_FLAG(double, rate, 100, "Requests a second.");
ABSL_FLAG(absl::Duration, time, absl::Seconds(1), "How long to send requests.");
ABSL_FLAG(absl::Duration, timeout, absl::Milliseconds(200),
          "The deadline of each attempt.");
ABSL_FLAG(double, slow, 0, "The fraction of requests that are slow.");
ABSL_FLAG(double, leave, 0, "The fraction of requests whose client leaves.");
ABSL_FLAG(absl::Duration, leave_after, absl::Milliseconds(20),
          "When these clients leave.");
ABSL_FLAG(int, attempts, 1, "How often a client tries, one after the other.");
ABSL_FLAG(uint64_t, seed, 1, "Of the times and of the choices.");
ABSL_FLAG(int, closed, 0,
          "If set, so many clients send one request after the other. "
          "Prints {\"per_second\": ANSWERS}.");

namespace tether::benchmarks {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using Time = steady_clock::time_point;

struct Outcome {
  Time intended;
  nanoseconds taken{0};
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;
  int attempts = 0;
};

// How a client behaves.
struct Client {
  bool slow = false;
  bool leaves = false;
};

nanoseconds Flag(const absl::Flag<absl::Duration>& flag) {
  return absl::ToChronoNanoseconds(absl::GetFlag(flag));
}

class Generator {
 public:
  Generator()
      : stub_(Hop::NewStub(grpc::CreateChannel(
            absl::GetFlag(FLAGS_target), grpc::InsecureChannelCredentials()))),
        timeout_(Flag(FLAGS_timeout)),
        leave_after_(Flag(FLAGS_leave_after)),
        most_attempts_(absl::GetFlag(FLAGS_attempts)),
        leaver_([this] { CancelUntilStopped(); }) {}

  ~Generator() {
    {
      const internal::MutexLock lock(mutex_);
      stop_ = true;
      wake_leaver_.NotifyAll();
    }
    leaver_.join();
  }

  // Sends one request with much time, and waits for its answer.
  void Ask() {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    Request request;
    request.set_gone_at_ns(INT64_MAX);
    Reply reply;
    const grpc::Status status = stub_->Serve(&context, request, &reply);
    if (!status.ok()) Die("a request: " + status.error_message());
  }

  // Begins a request that was meant to begin at `intended`.
  void Begin(Time intended, Client client) {
    {
      const internal::MutexLock lock(mutex_);
      ++in_flight_;
    }
    Attempt(std::make_shared<Call>(intended, client), intended);
  }

  // Waits until all requests have ended. Returns them in the order of their
  // ends.
  std::vector<Outcome> Wait() {
    internal::MutexLock lock(mutex_);
    while (in_flight_ > 0) none_in_flight_.Wait(mutex_);
    return std::exchange(outcomes_, {});
  }

 private:
  struct Call {
    Call(Time at, Client who) : intended(at), client(who) {}
    const Time intended;
    const Client client;
    int attempts = 0;
    Request request;
    Reply reply;
    std::shared_ptr<grpc::ClientContext> context;
  };

  void Attempt(const std::shared_ptr<Call>& call, Time begin) {
    ++call->attempts;
    Time gone = begin + timeout_;
    call->context = std::make_shared<grpc::ClientContext>();
    call->context->set_deadline(std::chrono::system_clock::now() +
                                (gone - steady_clock::now()));
    if (call->client.leaves) {
      gone = std::min(gone, begin + leave_after_);
      const internal::MutexLock lock(mutex_);
      leaving_.emplace_back(gone, call->context);
      wake_leaver_.NotifyAll();
    }
    call->request.set_gone_at_ns(gone.time_since_epoch().count());
    call->request.set_slow(call->client.slow);
    stub_->async()->Serve(
        call->context.get(), &call->request, &call->reply,
        [this, call](const grpc::Status& status) { End(call, status); });
  }

  void End(const std::shared_ptr<Call>& call, const grpc::Status& status) {
    const bool again =
        !status.ok() && !call->client.leaves && call->attempts < most_attempts_;
    if (again) return Attempt(call, steady_clock::now());
    const Outcome outcome = {call->intended,
                             steady_clock::now() - call->intended,
                             status.error_code(), call->attempts};
    const internal::MutexLock lock(mutex_);
    outcomes_.push_back(outcome);
    if (--in_flight_ == 0) none_in_flight_.NotifyAll();
  }

  // All clients that leave do so after the same time, so a queue is in order.
  void CancelUntilStopped() {
    while (const auto leaving = NextToLeave()) leaving->TryCancel();
  }

  // Waits until a client leaves. Null: the generator stops.
  std::shared_ptr<grpc::ClientContext> NextToLeave() {
    const internal::MutexLock lock(mutex_);
    while (!stop_) {
      if (leaving_.empty()) {
        wake_leaver_.Wait(mutex_);
      } else if (const Time when = leaving_.front().first;
                 when > steady_clock::now()) {
        wake_leaver_.WaitUntil(mutex_, when);
      } else {
        auto leaving = std::move(leaving_.front().second);
        leaving_.pop_front();
        return leaving;
      }
    }
    return nullptr;
  }

  const std::unique_ptr<Hop::Stub> stub_;
  const nanoseconds timeout_;
  const nanoseconds leave_after_;
  const int most_attempts_;
  internal::Mutex mutex_;
  internal::CondVar none_in_flight_;
  internal::CondVar wake_leaver_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Outcome> outcomes_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<Time, std::shared_ptr<grpc::ClientContext>>> leaving_
      ABSL_GUARDED_BY(mutex_);
  std::thread leaver_;
};

void Print(Time begin, const std::vector<Outcome>& outcomes) {
  std::string json = absl::StrCat(
      "{\"begin_ns\": ", begin.time_since_epoch().count(), ", \"requests\": [");
  const char* comma = "";
  for (const Outcome& one : outcomes) {
    absl::StrAppend(&json, comma, "[", (one.intended - begin).count(), ", ",
                    one.taken.count(), ", ", static_cast<int>(one.code), ", ",
                    one.attempts, "]");
    comma = ", ";
  }
  std::cout << json << "]}" << std::endl;
}

void RunOpen() {
  std::mt19937_64 random(absl::GetFlag(FLAGS_seed));
  std::exponential_distribution<double> seconds_between(
      absl::GetFlag(FLAGS_rate));
  std::bernoulli_distribution slow(absl::GetFlag(FLAGS_slow));
  std::bernoulli_distribution leaves(absl::GetFlag(FLAGS_leave));
  Generator generator;
  generator.Ask();  // now there is a connection
  const Time begin = steady_clock::now();
  const Time end = begin + Flag(FLAGS_time);
  Time next = begin;
  while ((next += std::chrono::duration_cast<nanoseconds>(
              std::chrono::duration<double>(seconds_between(random)))) < end) {
    std::this_thread::sleep_until(next);
    Client client;
    client.slow = slow(random);
    client.leaves = leaves(random);
    generator.Begin(next, client);
  }
  Print(begin, generator.Wait());
}

// Each client sends its next request when it has the answer.
void RunClosed(int clients) {
  Generator generator;
  generator.Ask();
  const nanoseconds time = Flag(FLAGS_time);
  const Time end = steady_clock::now() + time;
  std::atomic<int64_t> answers{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&] {
      while (steady_clock::now() < end) {
        generator.Ask();
        answers.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::cout << absl::StrCat("{\"per_second\": ",
                            static_cast<double>(answers.load()) /
                                std::chrono::duration<double>(time).count(),
                            "}")
            << std::endl;
}

}  // namespace
}  // namespace tether::benchmarks

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const int closed = absl::GetFlag(FLAGS_closed);
  if (closed > 0) {
    tether::benchmarks::RunClosed(closed);
  } else {
    tether::benchmarks::RunOpen();
  }
}
