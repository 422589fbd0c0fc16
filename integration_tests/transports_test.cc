// SPDX-License-Identifier: Apache-2.0
//
// Calls over TLS, Unix sockets and in-process channels, with compression and
// with gRPC's retries, keep tether's promises.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "testing/test_certificate.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/mutex.h"
#include "tether/propagation/request_id.h"
#include "tether/testing/give_up.h"

// OpenSSL keeps an error state per thread, which isn't freed if the process
// ends before gRPC's threads do. LeakSanitizer would report it.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libcrypto.so";
}

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;

// "At once", on a busy machine.
constexpr absl::Duration kPrompt = absl::Seconds(1);

// How a server listens, and how a channel to it is made.
struct Transport {
  std::string name;
  std::string listen;  // "": in-process
  std::shared_ptr<grpc::ServerCredentials> server_credentials;
  std::shared_ptr<grpc::ChannelCredentials> channel_credentials;
  grpc_compression_algorithm compression = GRPC_COMPRESS_NONE;
  std::string service_config;
};

class TransportsTest : public testing::GrpcLeakCheckedTest {
 protected:
  using Handler =
      std::function<grpc::Status(const Context&, const Ping&, Pong*)>;

  ~TransportsTest() override { Stop(); }

  // A second call replaces the server.
  void Serve(const Transport& transport, Handler handler) {
    Stop();
    service_.handler = std::move(handler);
    grpc::ServerBuilder builder;
    int port = 0;
    if (!transport.listen.empty()) {
      builder.AddListeningPort(transport.listen, transport.server_credentials,
                               &port);
    }
    builder.SetDefaultCompressionAlgorithm(transport.compression);
    builder.RegisterService(&service_);
    InstallServer(builder);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);

    grpc::ChannelArguments arguments = testing::OwnConnection();
    arguments.SetCompressionAlgorithm(transport.compression);
    if (!transport.service_config.empty()) {
      arguments.SetServiceConfigJSON(transport.service_config);
    }
    if (transport.listen.empty()) {
      std::vector<std::unique_ptr<
          grpc::experimental::ClientInterceptorFactoryInterface>>
          creators;
      creators.push_back(std::make_unique<ClientInterceptorFactory>());
      stub_ = Probe::NewStub(
          server_->experimental().InProcessChannelWithInterceptors(
              arguments, std::move(creators)));
      return;
    }
    const bool is_unix = transport.listen.rfind("unix:", 0) == 0;
    stub_ = Probe::NewStub(tether::CreateChannel(
        is_unix ? transport.listen : "127.0.0.1:" + std::to_string(port),
        transport.channel_credentials, {}, arguments));
  }

  grpc::Status Call(grpc::ClientContext& call, int number = 0) {
    Ping ping;
    ping.set_number(number);
    Pong pong;
    return stub_->Unary(&call, ping, &pong);
  }

 private:
  void Stop() {
    stub_.reset();
    if (server_ == nullptr) return;
    server_->Shutdown();
    server_->Wait();
    server_.reset();
  }

  struct Service final : Probe::Service {
    grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                       Pong* pong) override {
      return handler(ContextOf(*sc), *ping, pong);
    }
    Handler handler;
  };

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Probe::Stub> stub_;
};

class AnyTransportTest : public TransportsTest,
                         public ::testing::WithParamInterface<Transport> {};

TEST_P(AnyTransportTest, DeadlineValuesAndCancellationCross) {
  constexpr int kAnswer = 0;
  constexpr int kWait = 1;
  absl::Duration remaining;
  std::string request_id;
  absl::Notification waiting;
  absl::Status err;
  absl::Notification ended;
  Serve(GetParam(), [&](const Context& ctx, const Ping& ping, Pong*) {
    if (ping.number() == kAnswer) {
      remaining = ctx.Remaining();
      if (const std::string* id = RequestIdOf(ctx)) request_id = *id;
      return grpc::Status::OK;
    }
    waiting.Notify();
    ctx.WaitFor(kGiveUp);
    err = ctx.Err();
    ended.Notify();
    return StatusOf(ctx);
  });
  const auto [upstream, leave] = WithCancel(Background());
  {
    const auto [ctx, cancel] =
        WithTimeout(WithRequestId(upstream, "req-1"), absl::Seconds(60));
    ClientCall call(ctx);
    const grpc::Status status = Call(call, kAnswer);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_LE(remaining, absl::Seconds(60));
  EXPECT_GT(remaining, absl::Seconds(60) - kGiveUp);
  EXPECT_EQ(request_id, "req-1");

  std::thread leaver([&, &leave_now = leave] {
    EXPECT_TRUE(waiting.WaitForNotificationWithTimeout(kGiveUp));
    leave_now();
  });
  absl::Time start = absl::Now();
  {
    ClientCall call(upstream);
    const grpc::Status status = Call(call, kWait);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(status.error_message(), "context canceled");
  }
  leaver.join();
  EXPECT_TRUE(ended.WaitForNotificationWithTimeout(kPrompt));
  EXPECT_LT(absl::Now() - start, kPrompt);
  EXPECT_EQ(err, absl::CancelledError("context canceled"));
}

std::vector<Transport> Transports() {
  Transport plain;
  plain.name = "Tcp";
  plain.listen = "127.0.0.1:0";
  plain.server_credentials = grpc::InsecureServerCredentials();
  plain.channel_credentials = grpc::InsecureChannelCredentials();

  Transport tls = plain;
  tls.name = "Tls";
  grpc::SslServerCredentialsOptions server_options;
  server_options.pem_key_cert_pairs.push_back({kTestKey, kTestCertificate});
  tls.server_credentials = grpc::SslServerCredentials(server_options);
  grpc::SslCredentialsOptions channel_options;
  channel_options.pem_root_certs = kTestCertificate;
  tls.channel_credentials = grpc::SslCredentials(channel_options);

  Transport unix_socket = plain;
  unix_socket.name = "UnixSocket";
  // A socket's path has at most 107 characters, and a test's folder has more.
  unix_socket.listen =
      "unix:/tmp/tether-transports-" + std::to_string(getpid());

  Transport in_process = plain;
  in_process.name = "InProcess";
  in_process.listen = "";

  Transport gzip = plain;
  gzip.name = "Gzip";
  gzip.compression = GRPC_COMPRESS_GZIP;

  return {plain, tls, unix_socket, in_process, gzip};
}

INSTANTIATE_TEST_SUITE_P(Transports, AnyTransportTest,
                         ::testing::ValuesIn(Transports()),
                         [](const auto& param_info) {
                           return param_info.param.name;
                         });

// ---- Retries ----

Transport WithRetries(const std::string& backoff) {
  Transport transport = Transports()[0];
  transport.service_config =
      R"({"methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": 3, "backoffMultiplier": 1, "initialBackoff": ")" +
      backoff + R"(", "maxBackoff": ")" + backoff +
      R"(", "retryableStatusCodes": ["UNAVAILABLE"]}}]})";
  return transport;
}

// The observations of a call's attempts.
struct Attempts {
  internal::Mutex mutex;
  std::vector<absl::Duration> remaining ABSL_GUARDED_BY(mutex);
  std::vector<std::string> request_ids ABSL_GUARDED_BY(mutex);
  absl::Notification first;

  int Add(const Context& ctx) {
    internal::MutexLock lock(mutex);
    remaining.push_back(ctx.Remaining());
    const std::string* id = RequestIdOf(ctx);
    request_ids.push_back(id == nullptr ? "" : *id);
    if (remaining.size() == 1) first.Notify();
    return static_cast<int>(remaining.size());
  }
};

TEST_F(TransportsTest, EachAttemptOfACallHasItsValuesAndWhatIsLeftOfItsTime) {
  constexpr absl::Duration kTimeout = absl::Seconds(4);
  constexpr absl::Duration kLeastBackoff = absl::Milliseconds(150);
  for (const bool current : {false, true}) {
    Attempts attempts;
    Serve(WithRetries("0.2s"), [&](const Context& ctx, const Ping&, Pong*) {
      return attempts.Add(ctx) < 3
                 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet")
                 : grpc::Status::OK;
    });
    const auto [ctx, cancel] =
        WithTimeout(WithRequestId(Background(), "req-2"), kTimeout);
    ScopedContext scope(current ? ctx : Background());
    ClientCall call_of_ctx(ctx);
    grpc::ClientContext plain;
    const grpc::Status status = Call(current ? plain : call_of_ctx);
    EXPECT_TRUE(status.ok()) << status.error_message();
    internal::MutexLock lock(attempts.mutex);
    ASSERT_EQ(attempts.remaining.size(), 3u);
    for (const std::string& id : attempts.request_ids) EXPECT_EQ(id, "req-2");
    // gRPC repeats the headers of the first attempt, including tether's.
    // grpc-timeout is up to date, but rounded (HPACK: by up to 3 %).
    for (int i = 0; i < 3; ++i) {
      EXPECT_LE(attempts.remaining[i],
                std::min(kTimeout, (kTimeout - i * kLeastBackoff) * 1.032))
          << i << (current ? " current" : "");
    }
  }
}

TEST_F(TransportsTest, ACallThatWaitsForItsNextAttemptEndsWithItsContext) {
  Attempts attempts;
  Serve(WithRetries("10s"), [&](const Context& ctx, const Ping&, Pong*) {
    attempts.Add(ctx);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet");
  });
  const auto [ctx, cancel] = WithCancel(Background());
  std::thread leaver([&, &leave = cancel] {
    EXPECT_TRUE(attempts.first.WaitForNotificationWithTimeout(kGiveUp));
    // The client may not have the answer yet. Then the attempt is cancelled.
    absl::SleepFor(absl::Milliseconds(20));
    leave();
  });
  const absl::Time start = absl::Now();
  {
    ClientCall call(ctx);
    const grpc::Status status = Call(call);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(status.error_message(), "context canceled");
  }
  leaver.join();
  EXPECT_LT(absl::Now() - start, kPrompt);
}

TEST_F(TransportsTest, ADeadlineEndsACallThatWaitsForItsNextAttempt) {
  Attempts attempts;
  Serve(WithRetries("10s"), [&](const Context& ctx, const Ping&, Pong*) {
    attempts.Add(ctx);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet");
  });
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(200));
  const absl::Time start = absl::Now();
  ClientCall call(ctx);
  const grpc::Status status = Call(call);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message().rfind("context deadline exceeded: ", 0), 0u)
      << status.error_message();
  EXPECT_NE(status.error_message().find("probe.Unary"), std::string::npos)
      << status.error_message();
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(200) + kPrompt);
}

}  // namespace
}  // namespace tether
