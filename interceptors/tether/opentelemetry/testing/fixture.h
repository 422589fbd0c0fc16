// SPDX-License-Identifier: Apache-2.0
//
// A fixture for RPCs with the OpenTelemetry bridge. An in-memory exporter
// collects their spans.
//
// For tests only. Time is real, because gRPC's is. kGiveUp limits the wait for
// events that are certain to come: far longer than a loaded machine needs.

#ifndef TETHER_OPENTELEMETRY_TESTING_FIXTURE_H_
#define TETHER_OPENTELEMETRY_TESTING_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "opentelemetry/context/runtime_context.h"
#include "opentelemetry/exporters/memory/in_memory_span_exporter.h"
#include "opentelemetry/sdk/trace/samplers/always_on.h"
#include "opentelemetry/sdk/trace/samplers/parent.h"
#include "opentelemetry/sdk/trace/simple_processor.h"
#include "opentelemetry/sdk/trace/span_data.h"
#include "opentelemetry/sdk/trace/tracer_provider.h"
#include "opentelemetry/trace/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/opentelemetry/interceptors.h"
#include "tether/testing/give_up.h"

namespace tether::testing {

namespace nostd = opentelemetry::nostd;
namespace sdk = opentelemetry::sdk::trace;
namespace trace = opentelemetry::trace;
using opentelemetry::context::RuntimeContext;

// A deadline that passes during the test, but not before a loaded machine has
// connected and sent a request: an idle machine needs a hundredth of it.
inline constexpr absl::Duration kToConnect = absl::Milliseconds(500);

inline std::string Hex(const trace::SpanId& id) {
  char hex[16];
  id.ToLowerBase16(hex);
  return std::string(hex, sizeof hex);
}
inline std::string Hex(const trace::TraceId& id) {
  char hex[32];
  id.ToLowerBase16(hex);
  return std::string(hex, sizeof hex);
}
inline const std::string kNoSpan(16, '0');

// An exported span.
struct Exported {
  std::string name, trace_id, id, parent_id, description, trace_state;
  trace::SpanKind kind;
  trace::StatusCode status;
  std::map<std::string, std::string> texts;
  std::map<std::string, int64_t> numbers;

  explicit Exported(const sdk::SpanData& span)
      : name(span.GetName()),
        trace_id(Hex(span.GetTraceId())),
        id(Hex(span.GetSpanId())),
        parent_id(Hex(span.GetParentSpanId())),
        description(span.GetDescription()),
        trace_state(span.GetSpanContext().trace_state()->ToHeader()),
        kind(span.GetSpanKind()),
        status(span.GetStatus()) {
    for (const auto& [key, value] : span.GetAttributes()) {
      if (nostd::holds_alternative<std::string>(value)) {
        texts[key] = nostd::get<std::string>(value);
      } else {
        numbers[key] = nostd::get<int64_t>(value);
      }
    }
  }

  bool is_server() const { return kind == trace::SpanKind::kServer; }
  bool is_client() const { return kind == trace::SpanKind::kClient; }
  int64_t code() const {
    const auto it = numbers.find("rpc.grpc.status_code");
    return it == numbers.end() ? -1 : it->second;
  }
  std::string cause() const {
    const auto it = texts.find("tether.cause");
    return it == texts.end() ? "" : it->second;
  }
};

// The id of the span that is active on this thread; zeros if there is none.
inline std::string ActiveSpan() {
  return Hex(
      trace::GetSpan(RuntimeContext::GetCurrent())->GetContext().span_id());
}

// Calls a function of the test for each hook. The function must call Proceed.
class Hooks final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  using Function =
      std::function<void(grpc::experimental::InterceptorBatchMethods*,
                         grpc::experimental::ServerRpcInfo*)>;
  explicit Hooks(Function intercept) : intercept_(std::move(intercept)) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new Interceptor(intercept_, info);
  }

 private:
  class Interceptor final : public grpc::experimental::Interceptor {
   public:
    Interceptor(const Function& intercept,
                grpc::experimental::ServerRpcInfo* info)
        : intercept_(intercept), info_(info) {}
    void Intercept(
        grpc::experimental::InterceptorBatchMethods* methods) override {
      intercept_(methods, info_);
    }

   private:
    const Function& intercept_;
    grpc::experimental::ServerRpcInfo* const info_;
  };

  const Function intercept_;
};

using Methods = grpc::experimental::InterceptorBatchMethods;
using Hook = grpc::experimental::InterceptionHookPoints;
using Creators = std::vector<
    std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>;

// A server without tether that keeps the headers of the last request.
class Receiver {
 public:
  Receiver() : server_({/*callback_api=*/false, /*tether=*/std::nullopt, {}}) {
    server_.unary = [this](grpc::ServerContext& sc, const Ping&, Pong*) {
      headers_.clear();
      for (const auto& [key, value] : sc.client_metadata()) {
        headers_.emplace(std::string(key.data(), key.size()),
                         std::string(value.data(), value.size()));
      }
      return grpc::Status::OK;
    };
  }

  ProbeServer& server() { return server_; }
  // All values of `key`, joined; "" if there are none.
  std::string Get(const std::string& key) const {
    std::string all;
    const auto [begin, end] = headers_.equal_range(key);
    for (auto it = begin; it != end; ++it) {
      all += (all.empty() ? "" : "|") + it->second;
    }
    return all;
  }

 private:
  std::multimap<std::string, std::string> headers_;
  ProbeServer server_;
};

// Each test sees the spans of its own RPCs, and must ask for all of them.
class OpenTelemetryFixture : public GrpcLeakCheckedTest {
 protected:
  OpenTelemetryFixture() {
    auto exporter = std::make_unique<
        opentelemetry::exporter::memory::InMemorySpanExporter>();
    exported_ = exporter->GetData();
    // Exports each span when it ends, on the thread that ends it.
    provider_ =
        nostd::shared_ptr<trace::TracerProvider>(new sdk::TracerProvider(
            std::make_unique<sdk::SimpleSpanProcessor>(std::move(exporter)),
            opentelemetry::sdk::resource::Resource::Create({}),
            std::make_unique<sdk::ParentBasedSampler>(
                std::make_shared<sdk::AlwaysOnSampler>())));
    tracer_ = provider_->GetTracer("test");
    telemetry_.tracer_provider = provider_;
  }

  void TearDown() override {
    EXPECT_EQ(ActiveSpan(), kNoSpan);
    // A span that the test didn't ask for: it ended twice, or is one too many.
    for (const auto& span : exported_->GetSpans()) {
      ADD_FAILURE() << "unexpected span " << Exported(*span).name;
    }
    GrpcLeakCheckedTest::TearDown();
  }

  ProbeServer::Options Bridged(ServerOptions server_options = {}) {
    ProbeServer::Options options;
    options.install = [this, server_options](grpc::ServerBuilder& builder) {
      InstallServerWithOpenTelemetry(builder, server_options, telemetry_);
    };
    return options;
  }
  ProbeServer::Options BridgedCallback() {
    ProbeServer::Options options = Bridged();
    options.callback_api = true;
    return options;
  }

  // Lists `before` before the bridge, and `after` after it.
  ProbeServer::Options BridgedBetween(Hooks::Function before,
                                      Hooks::Function after) {
    ProbeServer::Options options;
    options.install = [=](grpc::ServerBuilder& builder) {
      Creators creators;
      if (before) creators.push_back(std::make_unique<Hooks>(before));
      creators.push_back(
          std::make_unique<OpenTelemetryServerInterceptorFactory>(
              ServerOptions(), telemetry_));
      if (after) creators.push_back(std::make_unique<Hooks>(after));
      builder.experimental().SetInterceptorCreators(std::move(creators));
    };
    return options;
  }

  std::unique_ptr<Probe::Stub> Stub(const ProbeServer& server,
                                    ClientOptions options = {}) {
    return Probe::NewStub(CreateChannelWithOpenTelemetry(
        server.address(), grpc::InsecureChannelCredentials(),
        std::move(options), OwnConnection(), telemetry_));
  }

  // Waits for `n` spans to end, and returns them.
  std::vector<Exported> Spans(size_t n) {
    std::vector<Exported> spans;
    const absl::Time give_up = absl::Now() + kGiveUp;
    while (true) {
      for (const auto& span : exported_->GetSpans()) spans.emplace_back(*span);
      if (spans.size() >= n || absl::Now() > give_up) break;
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(spans.size(), n);
    return spans;
  }

  // The two spans of one call.
  struct Pair {
    Exported client, server;
  };
  Pair ClientAndServer() {
    std::vector<Exported> spans = Spans(2);
    if (spans.size() != 2) throw std::runtime_error("the spans are missing");
    if (spans[0].is_server()) std::swap(spans[0], spans[1]);
    EXPECT_TRUE(spans[0].is_client());
    EXPECT_TRUE(spans[1].is_server());
    return {spans[0], spans[1]};
  }

  static grpc::Status Call(Probe::Stub& stub, grpc::ClientContext& call,
                           int number = 0) {
    Ping ping;
    ping.set_number(number);
    Pong pong;
    return stub.Unary(&call, ping, &pong);
  }

  std::shared_ptr<opentelemetry::exporter::memory::InMemorySpanData> exported_;
  nostd::shared_ptr<trace::TracerProvider> provider_;
  nostd::shared_ptr<trace::Tracer> tracer_;
  OpenTelemetryOptions telemetry_;
};

}  // namespace tether::testing

#endif  // TETHER_OPENTELEMETRY_TESTING_FIXTURE_H_
