// SPDX-License-Identifier: Apache-2.0
//
// The metrics add up: after 100,000 calls that end in random ways, on several
// threads and under load, they say exactly what clients and handlers saw.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/observability/metrics.h"
#include "tether/testing/give_up.h"
#include "tether/testing/together.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

constexpr int kThreads = 4;
constexpr int kCallsPerThread = 12'500;  // for each of the two servers
constexpr char kUnary[] = "/tether.testing.Probe/Unary";
constexpr char kDownload[] = "/tether.testing.Probe/Download";

using Outcome = std::pair<grpc::StatusCode, EndReason>;
using Outcomes = std::map<Outcome, uint64_t>;

Outcomes Counted(const std::vector<OutcomeCount>& counts) {
  Outcomes outcomes;
  for (const OutcomeCount& count : counts) {
    outcomes[{count.code, count.reason}] = count.count;
  }
  return outcomes;
}

void Add(const Outcomes& more, Outcomes& outcomes) {
  for (const auto& [outcome, count] : more) outcomes[outcome] += count;
}

// What the clients saw, by method, and how many calls can't have been sent.
struct Seen {
  std::map<std::string, Outcomes> outcomes;
  uint64_t not_sent = 0;
};

// What a handler does with its request: the number of the ping.
enum Order : int { kAnswer = 0, kWaitForEnd = 100 };  // else: answers that code

grpc::Status Obey(const Context& ctx, int order) {
  if (order == kWaitForEnd) {
    EXPECT_TRUE(ctx.WaitFor(kGiveUp));
    return StatusOf(ctx);
  }
  return order == kAnswer ? grpc::Status::OK
                          : grpc::Status(grpc::StatusCode(order), "");
}

// Makes calls that end in random ways.
class Client {
 public:
  Client(std::unique_ptr<Probe::Stub> stub, unsigned seed)
      : stub_(std::move(stub)), random_(seed) {}

  void MakeCalls(int count) {
    for (int i = 0; i < count; ++i) MakeCall();
  }

  const Seen& seen() const { return seen_; }

 private:
  void MakeCall() {
    switch (Pick(8)) {
      case 0:
        return Unary(kGiveUp, Pick(17));
      case 1:
        return Unary(absl::Microseconds(Pick(3000)), kWaitForEnd);
      case 2:
        return CancelledFromElsewhere();
      case 3:
        return NotSent();
      case 4:
        return Stream(/*messages=*/Pick(3));
      case 5:
        return Stream(/*messages=*/-1);
      default:
        return Unary(kGiveUp, kAnswer);
    }
  }

  int Pick(int end) {
    return std::uniform_int_distribution<int>(0, end - 1)(random_);
  }

  void Note(const char* method, const grpc::Status& status,
            const ClientCall& call) {
    ++seen_.outcomes[method][{status.error_code(), EndReasonOf(call)}];
  }

  void Unary(absl::Duration timeout, int order) {
    const Cancellable caller = WithTimeout(Background(), timeout);
    Unary(caller.ctx, order);
  }
  void Unary(const Context& ctx, int order) {
    ClientCall call(ctx);
    Ping ping;
    ping.set_number(order);
    Pong pong;
    const grpc::Status status = stub_->Unary(&call, ping, &pong);
    Note(kUnary, status, call);
  }

  void CancelledFromElsewhere() {
    Cancellable caller = WithTimeout(Background(), kGiveUp);
    const int spins = Pick(2000);
    std::thread canceller([&caller, spins] {
      for (std::atomic<int> i{0}; i < spins;) ++i;
      caller.cancel();
    });
    Unary(caller.ctx, kWaitForEnd);
    canceller.join();
  }

  void NotSent() {
    Cancellable caller = WithCancel(Background());
    caller.cancel();
    Unary(caller.ctx, kAnswer);
    ++seen_.not_sent;
  }

  // Reads `messages` of 3, and abandons the stream if that isn't all of them.
  // -1: reads all, and asks for the status.
  void Stream(int messages) {
    const Cancellable caller = WithTimeout(Background(), kGiveUp);
    {
      ClientCall call(caller.ctx);
      const auto reader = stub_->Download(&call, Ping());
      Pong pong;
      int read = 0;
      while ((messages < 0 || read < messages) && reader->Read(&pong)) ++read;
      if (messages < 0) {
        const grpc::Status status = reader->Finish();
        return Note(kDownload, status, call);
      }
      EXPECT_EQ(read, messages);
    }
    ++seen_.outcomes[kDownload][{grpc::CANCELLED, EndReason::kCancelled}];
  }

  const std::unique_ptr<Probe::Stub> stub_;
  std::mt19937 random_;
  Seen seen_;
};

class MetricsExactTest : public testing::GrpcLeakCheckedTest {
 protected:
  // What the handlers answered, by method and code.
  void NoteAnswer(const char* method, const grpc::Status& status) {
    ++answers_[method == kUnary][status.error_code()];
  }

  std::unique_ptr<ProbeServer> SyncServer() {
    auto server = std::make_unique<ProbeServer>(ProbeServer::Options());
    server->unary = [this](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      const grpc::Status status =
          Obey(ContextOf(sc), static_cast<int>(ping.number()));
      NoteAnswer(kUnary, status);
      return status;
    };
    server->download = [this](grpc::ServerContext&, const Ping&,
                              grpc::ServerWriter<Pong>* writer) {
      for (int i = 0; i < 3; ++i) writer->Write(Pong());
      NoteAnswer(kDownload, grpc::Status::OK);
      return grpc::Status::OK;
    };
    return server;
  }

  std::atomic<uint64_t> answers_[2][17] = {};
};

TEST_F(MetricsExactTest, AddUpToWhatClientsAndHandlersSaw) {
  ASSERT_TRUE(StartMetrics());
  Seen seen;
  {
    const auto server = SyncServer();
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 2 * kThreads; ++i) {
      clients.push_back(std::make_unique<Client>(server->Stub(), 7 + i));
    }
    testing::Together(2 * kThreads,
                      [&](int i) { clients[i]->MakeCalls(kCallsPerThread); });
    for (const auto& client : clients) {
      seen.not_sent += client->seen().not_sent;
      for (const auto& [method, outcomes] : client->seen().outcomes) {
        Add(outcomes, seen.outcomes[method]);
      }
    }
  }
  Metrics metrics = ReadMetrics();
  uint64_t calls = 0;
  for (const char* method : {kUnary, kDownload}) {
    SCOPED_TRACE(method);
    const ClientMetrics& client = metrics.clients[method];
    EXPECT_EQ(Counted(client.outcomes), seen.outcomes[method]);
    EXPECT_EQ(client.duration.count, client.total);
    calls += client.total;

    const ServerMetrics& server = metrics.servers[method];
    std::map<int, uint64_t> by_code;
    for (const OutcomeCount& count : server.outcomes) {
      by_code[count.code] += count.count;
    }
    for (int code = 0; code < 17; ++code) {
      const uint64_t answers = answers_[method == kUnary][code];
      // A caller that leaves before its message has arrived reaches no handler.
      if (code == grpc::CANCELLED || code == grpc::DEADLINE_EXCEEDED) {
        EXPECT_GE(by_code[code], answers) << code;
      } else {
        EXPECT_EQ(by_code[code], answers) << code;
      }
    }
    EXPECT_LE(server.total, client.total);
    EXPECT_EQ(server.service_time.count, server.total);
    EXPECT_EQ(server.time_left_on_arrival.count + server.without_deadline,
              server.total);
  }
  EXPECT_EQ(calls, uint64_t{2} * kThreads * kCallsPerThread);
  // Others may have ended before they were sent, too.
  EXPECT_GE(metrics.clients[kUnary].not_sent, seen.not_sent);
  EXPECT_GT(seen.outcomes[kUnary].size(), 17u);
}

}  // namespace
}  // namespace tether
