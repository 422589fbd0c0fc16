// Spans of RPCs over real connections on loopback, as OpenTelemetry's in-memory
// exporter has them: whose child they are, what they say, and that each ends
// once.
//
// Times are real, since gRPC's are. kNever is how long a test waits for what
// does come: far longer than a loaded machine needs.

#include "tether/grpc/opentelemetry.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
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
#include "opentelemetry/trace/propagation/http_trace_context.h"
#include "opentelemetry/trace/provider.h"
#include "opentelemetry/trace/scope.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/internal/live_counts.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace sdk = opentelemetry::sdk::trace;
namespace trace = opentelemetry::trace;
using opentelemetry::context::RuntimeContext;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;
using ::testing::Test;

constexpr absl::Duration kNever = absl::Seconds(20);

// A deadline that is to pass, but not before a loaded machine has connected and
// sent a request: a hundred times what that takes on an idle one.
constexpr absl::Duration kToConnect = absl::Milliseconds(500);

std::string Hex(const trace::SpanId& id) {
  char hex[16];
  id.ToLowerBase16(hex);
  return std::string(hex, sizeof hex);
}
std::string Hex(const trace::TraceId& id) {
  char hex[32];
  id.ToLowerBase16(hex);
  return std::string(hex, sizeof hex);
}
const std::string kNoSpan(16, '0');

// A span, as it was exported.
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

// What is active on this thread: a span id; zeros: nothing.
std::string ActiveSpan() {
  return Hex(
      trace::GetSpan(RuntimeContext::GetCurrent())->GetContext().span_id());
}

// An interceptor of the test's own, which must Proceed.
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

class OpenTelemetryTest : public testing::GrpcLeakCheckedTest {
 protected:
  OpenTelemetryTest() {
    auto exporter = std::make_unique<
        opentelemetry::exporter::memory::InMemorySpanExporter>();
    exported_ = exporter->GetData();
    // Exports at the end of each span, on its thread.
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
    // Spans that nobody has asked for: one that ended twice, or too many.
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

  // With interceptors listed before the bridge and after it.
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
        std::move(options), Arguments(), telemetry_));
  }

  // Not shared with other tests' channels to a server that had the same port.
  static grpc::ChannelArguments Arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return arguments;
  }

  // The next `n` spans that end.
  std::vector<Exported> Spans(size_t n) {
    std::vector<Exported> spans;
    const absl::Time give_up = absl::Now() + kNever;
    while (true) {
      for (const auto& span : exported_->GetSpans()) spans.emplace_back(*span);
      if (spans.size() >= n || absl::Now() > give_up) break;
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(spans.size(), n);
    return spans;
  }

  // Of one call, the two spans.
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

// --- whose child a span is ---

TEST_F(OpenTelemetryTest, SpansFormTheCallTreeOverThreeHops) {
  ProbeServer hop3(Bridged()), hop2(Bridged()), hop1(Bridged());
  auto stub2 = Stub(hop2), stub3 = Stub(hop3), stub1 = Stub(hop1);
  const auto check = [](const grpc::ServerContext& sc) {
    const TraceContext* trace = TraceOf(ContextOf(sc));
    ASSERT_NE(trace, nullptr);
    EXPECT_EQ(trace->SpanIdHex(), ActiveSpan());
    EXPECT_TRUE(SpanOf(ContextOf(sc))->IsRecording());
    EXPECT_EQ(Current(), ContextOf(sc));
  };
  hop1.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    check(sc);
    ClientCall call(ContextOf(sc));
    return Call(*stub2, call);
  };
  hop2.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    check(sc);
    grpc::ClientContext call;  // works for Current()
    return Call(*stub3, call);
  };
  hop3.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    check(sc);
    return grpc::Status::OK;
  };
  auto root = tracer_->StartSpan("root");
  {
    const trace::Scope scope(root);
    grpc::ClientContext call;
    EXPECT_TRUE(Call(*stub1, call).ok());
  }
  root->End();

  std::map<std::string, Exported> by_id;
  std::string leaf;
  for (const Exported& span : Spans(7)) {
    EXPECT_EQ(span.trace_id, Hex(root->GetContext().trace_id()));
    by_id.emplace(span.id, span);
  }
  std::set<std::string> parents;
  for (const auto& [id, span] : by_id) parents.insert(span.parent_id);
  for (const auto& [id, span] : by_id) {
    if (parents.count(id) == 0) leaf = id;
  }
  std::string path;
  for (std::string id = leaf; id != kNoSpan; id = by_id.at(id).parent_id) {
    ASSERT_EQ(by_id.count(id), 1u) << path;
    const Exported& span = by_id.at(id);
    path += span.is_server() ? 'S' : span.is_client() ? 'C' : 'R';
  }
  EXPECT_EQ(path, "SCSCSCR");
}

TEST_F(OpenTelemetryTest, ATraceThatCameInIsTheParentOfTheServerSpan) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->trace_state, "acme=p:3");
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  call.AddMetadata("tracestate", "acme=p:3");
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_TRUE(span.is_server());
  EXPECT_EQ(span.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(span.parent_id, "00f067aa0ba902b7");
  EXPECT_NE(span.id, span.parent_id);
  EXPECT_EQ(span.trace_state, "acme=p:3");
}

TEST_F(OpenTelemetryTest, ARequestWithoutAGoodTraceStartsOne) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_TRUE(TraceOf(ContextOf(sc))->valid());
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent", "00-nonsense-01");
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(Spans(1).at(0).parent_id, kNoSpan);
}

// Spans of strangers are nobody's parents.
TEST_F(OpenTelemetryTest, AtTheEdgeATraceBegins) {
  ServerOptions options;
  options.trust = Trust::kEdge;
  ProbeServer server(Bridged(options));
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.parent_id, kNoSpan);
  EXPECT_NE(span.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
}

// What a sampler decided upstream holds: nothing is recorded, and the next hop
// hears of it.
TEST_F(OpenTelemetryTest, AnUnsampledTraceGoesOnUnsampled) {
  ProbeServer leaf(Bridged()), server(Bridged());
  auto to_leaf = Stub(leaf);
  leaf.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    const TraceContext* trace = TraceOf(ContextOf(sc));
    EXPECT_EQ(trace->TraceIdHex(), "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_FALSE(trace->sampled());
    return grpc::Status::OK;
  };
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_NE(TraceOf(ContextOf(sc))->SpanIdHex(), "00f067aa0ba902b7");
    grpc::ClientContext call;
    return Call(*to_leaf, call);
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  EXPECT_TRUE(Call(*stub, call).ok());
}

// What a server without tether receives under `key`.
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
  // Joined; "" when there is none.
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

TEST_F(OpenTelemetryTest, TheHeadersNameTheClientSpan) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  TraceContext trace = NewTrace(/*sampled=*/true);
  trace.trace_state = "acme=p:3,other=1";
  ClientCall call(WithTrace(Background(), trace));
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.trace_id, trace.TraceIdHex());
  EXPECT_EQ(span.parent_id, trace.SpanIdHex());
  EXPECT_EQ(receiver.Get("traceparent").substr(0, 52),
            "00-" + span.trace_id + "-" + span.id);
  EXPECT_TRUE(ParseTraceParent(receiver.Get("traceparent"))->sampled());
  EXPECT_EQ(receiver.Get("tracestate"), "acme=p:3,other=1");
}

TEST_F(OpenTelemetryTest, WithoutATraceACallStartsOne) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.parent_id, kNoSpan);
  EXPECT_EQ(receiver.Get("traceparent"),
            "00-" + span.trace_id + "-" + span.id + "-01");
}

TEST_F(OpenTelemetryTest, SoDoTheHeadersOfB3) {
  Receiver receiver;
  const TraceContext trace = NewTrace(/*sampled=*/true);
  for (const B3Format format : {B3Format::kSingle, B3Format::kMulti}) {
    for (const bool root : {false, true}) {
      for (const bool beside_w3c : {false, true}) {
        B3Options b3;
        b3.write = format;
        std::vector<std::shared_ptr<const Propagator>> parts;
        if (beside_w3c) {
          parts.push_back(std::make_shared<TraceContextPropagator>());
        }
        parts.push_back(std::make_shared<B3Propagator>(b3));
        ClientOptions options;
        options.propagator = std::make_shared<CompositePropagator>(parts);
        auto stub = Stub(receiver.server(), options);
        ClientCall call(root ? Background() : WithTrace(Background(), trace));
        EXPECT_TRUE(Call(*stub, call).ok());
        const Exported span = Spans(1).at(0);
        if (format == B3Format::kSingle) {
          EXPECT_EQ(receiver.Get("b3"),
                    span.trace_id + "-" + span.id + "-1" +
                        (root ? "" : "-" + trace.SpanIdHex()));
        } else {
          EXPECT_EQ(receiver.Get("x-b3-traceid"), span.trace_id);
          EXPECT_EQ(receiver.Get("x-b3-spanid"), span.id);
          EXPECT_EQ(receiver.Get("x-b3-parentspanid"),
                    root ? "" : trace.SpanIdHex());
        }
        EXPECT_EQ(receiver.Get("traceparent"),
                  beside_w3c ? "00-" + span.trace_id + "-" + span.id + "-0" +
                                   (root ? "1" : "3")
                             : "");
      }
    }
  }
}

TEST_F(OpenTelemetryTest, AHeaderOfTheApplicationStays) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  const std::string own =
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  TraceContext trace = NewTrace(/*sampled=*/true);
  trace.trace_state = "acme=1";
  ClientCall call(WithTrace(Background(), trace));
  call.AddMetadata("traceparent", own);
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(receiver.Get("traceparent"), own);
  EXPECT_EQ(receiver.Get("tracestate"), "");  // it isn't that trace's
  Spans(1);
}

TEST_F(OpenTelemetryTest, WithOpenTelemetrysPropagatorSpansFormTheTreeToo) {
  const auto propagator = std::make_shared<OpenTelemetryPropagator>(
      nostd::shared_ptr<OpenTelemetryPropagator::TextMapPropagator>(
          new trace::propagation::HttpTraceContext));
  ServerOptions server_options;
  server_options.propagator = propagator;
  ClientOptions client_options;
  client_options.propagator = propagator;
  ProbeServer server(Bridged(server_options));
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    return grpc::Status::OK;
  };
  auto stub = Stub(server, client_options);
  auto root = tracer_->StartSpan("root");
  ClientCall call(WithSpan(Background(), root));
  EXPECT_TRUE(Call(*stub, call).ok());
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.parent_id, Hex(root->GetContext().span_id()));
  EXPECT_EQ(server_span.parent_id, client_span.id);
  EXPECT_EQ(server_span.trace_id, client_span.trace_id);
  root->End();
  Spans(1);
}

TEST_F(OpenTelemetryTest, ASpanStartedBelowTheContextsIsTheParentOfItsCalls) {
  ProbeServer server(Bridged());
  Receiver receiver;
  auto stub = Stub(receiver.server());
  std::string inner_id;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    auto inner = tracer_->StartSpan("inner");  // of the active one
    inner_id = Hex(inner->GetContext().span_id());
    const trace::Scope scope(inner);
    ClientCall call(ContextOf(sc));
    const grpc::Status status = Call(*stub, call);
    inner->End();
    return status;
  };
  auto outer_stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*outer_stub, call).ok());
  std::vector<Exported> spans = Spans(3);  // in the order of their ends
  EXPECT_TRUE(spans.at(0).is_client());
  EXPECT_EQ(spans.at(0).parent_id, inner_id);
  EXPECT_EQ(spans.at(1).parent_id, spans.at(2).id);
}

TEST_F(OpenTelemetryTest, TheContextOfACallPrevailsOverAnothersActiveSpan) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  auto mine = tracer_->StartSpan("mine");
  auto others = tracer_->StartSpan("others");
  const Context my_ctx = WithSpan(Background(), mine);
  const Context other_ctx = WithSpan(Background(), others);
  {
    const auto active = ActivateSpan(other_ctx);
    ClientCall call(my_ctx);
    EXPECT_TRUE(Call(*stub, call).ok());
    EXPECT_EQ(Spans(1).at(0).parent_id, Hex(mine->GetContext().span_id()));
  }
  {
    const trace::Scope scope(others);
    ClientCall call(my_ctx);
    EXPECT_TRUE(Call(*stub, call).ok());
    EXPECT_EQ(Spans(1).at(0).parent_id, Hex(mine->GetContext().span_id()));
  }
  {
    // A deeper span in the context than the active one.
    const auto active = ActivateSpan(my_ctx);
    auto deeper = tracer_->StartSpan("deeper");
    ClientCall call(WithSpan(my_ctx, deeper));
    EXPECT_TRUE(Call(*stub, call).ok());
    EXPECT_EQ(Spans(1).at(0).parent_id, Hex(deeper->GetContext().span_id()));
    deeper->End();
  }
  mine->End();
  others->End();
  Spans(3);
}

TEST_F(OpenTelemetryTest, ATraceThatWasEndedHasNoActiveSpanAsItsParent) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  auto active = tracer_->StartSpan("active");
  {
    const trace::Scope scope(active);
    ClientCall call(WithTrace(Background(), TraceContext()));
    EXPECT_TRUE(Call(*stub, call).ok());
  }
  EXPECT_EQ(Spans(1).at(0).parent_id, kNoSpan);
  active->End();
  Spans(1);
}

// --- what a span says ---

TEST_F(OpenTelemetryTest, SpansHaveTheAttributesOfTheConventions) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  const auto [client_span, server_span] = ClientAndServer();
  for (const Exported& span : {client_span, server_span}) {
    EXPECT_EQ(span.name, "tether.testing.Probe/Unary");
    EXPECT_EQ(span.texts, (std::map<std::string, std::string>{
                              {"rpc.system", "grpc"},
                              {"rpc.service", "tether.testing.Probe"},
                              {"rpc.method", "Unary"},
                              {"network.peer.address", "127.0.0.1"}}));
    EXPECT_EQ(span.numbers.size(), 2u);  // no deadline
    EXPECT_EQ(span.code(), 0);
    EXPECT_EQ(span.status, trace::StatusCode::kUnset);
    EXPECT_EQ(span.description, "");
  }
  EXPECT_EQ("127.0.0.1:" +
                std::to_string(client_span.numbers.at("network.peer.port")),
            server.address());
  EXPECT_GT(server_span.numbers.at("network.peer.port"), 0);
}

TEST_F(OpenTelemetryTest, AServerSpanSaysHowMuchTimeWasLeft) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  auto [ctx, cancel] = WithTimeout(Background(), kNever);
  ClientCall call(ctx);
  EXPECT_TRUE(Call(*stub, call).ok());
  const Exported span = ClientAndServer().server;
  const int64_t left = span.numbers.at("tether.budget.remaining_us");
  EXPECT_GT(left, absl::ToInt64Microseconds(kNever / 2));
  EXPECT_LE(left, absl::ToInt64Microseconds(kNever));
  EXPECT_EQ(span.cause(), "");
}

TEST_F(OpenTelemetryTest, ErrorsAreThoseOfTheConventions) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping& ping, Pong*) {
    return grpc::Status(static_cast<grpc::StatusCode>(ping.number()), "why");
  };
  auto stub = Stub(server);
  const std::set<int> the_servers_fault = {2, 4, 12, 13, 14, 15};
  for (int code = 1; code <= 16; ++code) {
    grpc::ClientContext call;
    EXPECT_EQ(Call(*stub, call, code).error_code(), code);
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(client_span.code(), code);
    EXPECT_EQ(server_span.code(), code);
    EXPECT_EQ(client_span.status, trace::StatusCode::kError) << code;
    EXPECT_EQ(client_span.description, "why");
    const bool error = the_servers_fault.count(code) != 0;
    EXPECT_EQ(server_span.status == trace::StatusCode::kError, error) << code;
    EXPECT_EQ(server_span.description, error ? "why" : "");
  }
}

TEST_F(OpenTelemetryTest, AnExceptionInAHandlerIsAnErrorOfItsSpan) {
  ProbeServer server(Bridged());
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) -> grpc::Status {
    throw std::runtime_error("oops");
  };
  auto stub = Stub(server);
  grpc::ClientContext call;
  EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::UNKNOWN);
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(server_span.code(), 2);
  EXPECT_EQ(server_span.status, trace::StatusCode::kError);
  EXPECT_EQ(client_span.code(), 2);
}

TEST_F(OpenTelemetryTest, BothSidesSayWhyACallWasCancelled) {
  for (const bool callback_api : {false, true}) {
    ProbeServer server(callback_api ? BridgedCallback() : Bridged());
    absl::Notification entered;
    server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
      entered.Notify();
      ContextOf(sc).WaitFor(kNever);
      return StatusOf(ContextOf(sc));
    };
    std::thread waiter;
    server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                                Pong*) {
      auto* reactor = sc->DefaultReactor();
      waiter = std::thread([&, reactor, ctx = ContextOf(*sc)] {
        entered.Notify();
        ctx.WaitFor(kNever);
        reactor->Finish(StatusOf(ctx));
      });
      return reactor;
    };
    auto stub = Stub(server);
    auto [ctx, cancel] = WithCancel(Background());
    std::thread leaver([&, &cancel = cancel] {
      entered.WaitForNotification();
      cancel(absl::CancelledError("the user left"));
    });
    {
      ClientCall call(ctx);
      EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::CANCELLED);
    }
    leaver.join();
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(client_span.code(), 1);
    EXPECT_EQ(client_span.cause(), "CANCELLED: the user left");
    EXPECT_EQ(client_span.status, trace::StatusCode::kError);
    EXPECT_EQ(server_span.code(), 1);
    EXPECT_EQ(server_span.cause(),
              "CANCELLED: the caller cancelled the call or is gone");
    EXPECT_EQ(server_span.status, trace::StatusCode::kUnset);
    if (waiter.joinable()) waiter.join();
  }
}

TEST_F(OpenTelemetryTest, ADeadlineThatPassedIsTheCause) {
  ProbeServer server(Bridged());
  absl::Notification client_gave_up;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    // Or else it would answer first: it has a little less time.
    client_gave_up.WaitForNotification();
    // Its time began when the request arrived. Who looks at the context hears
    // of the caller first.
    while (ContextOf(sc).Remaining() > absl::ZeroDuration()) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  auto [ctx, cancel] = WithTimeout(Background(), kToConnect,
                                   absl::DeadlineExceededError("out of time"));
  ClientCall call(ctx);
  EXPECT_EQ(Call(*stub, call).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  client_gave_up.Notify();
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.code(), 4);
  // Core's timer may be ahead of the context by a millisecond, which then has
  // no cause yet.
  EXPECT_TRUE(client_span.cause() == "DEADLINE_EXCEEDED: out of time" ||
              client_span.cause() ==
                  "DEADLINE_EXCEEDED: context deadline exceeded")
      << client_span.cause();
  EXPECT_EQ(server_span.code(), 4);
  EXPECT_EQ(server_span.cause().substr(0, 17), "DEADLINE_EXCEEDED");
}

TEST_F(OpenTelemetryTest, ACallOfAnEndedContextHasASpanThoughNothingIsSent) {
  Receiver receiver;
  auto stub = Stub(receiver.server());
  auto [ctx, cancel] = WithCancel(Background());
  cancel(absl::CancelledError("too late"));
  ClientCall call(ctx);
  EXPECT_EQ(Call(*stub, call).error_code(), grpc::StatusCode::CANCELLED);
  const Exported span = Spans(1).at(0);
  EXPECT_EQ(span.code(), 1);
  EXPECT_EQ(span.cause(), "CANCELLED: too late");
}

// The span doesn't look at the context either: that would cost each call a
// watch.
TEST_F(OpenTelemetryTest, AHandlerThatNeverLooksMakesNoWatch) {
  int64_t watches = -1;
  const auto after = [&](Methods* methods, auto*) {
    // After the bridge, which has ended the span by now; a watch would live
    // until the status has been sent.
    if (methods->QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
      // One that is to come waits in a callback.
      watches = GetGrpcStats().watches +
                internal::LiveCount(internal::Live::kCallback);
    }
    methods->Proceed();
  };
  ProbeServer server(BridgedBetween(nullptr, after));
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(Spans(1).at(0).cause(), "");
  EXPECT_EQ(watches, 0);
}

TEST_F(OpenTelemetryTest, AThrowingPropagatorCostsNoSpan) {
  class Thrower final : public Propagator {
   public:
    Context Extract(const Carrier&, const Context&) const override {
      throw std::runtime_error("extract");
    }
    void Inject(const Context&, Carrier&) const override {
      throw std::runtime_error("inject");
    }
    std::vector<std::string_view> Fields() const override { return {}; }
    int64_t Dropped() const override { return 0; }
  };
  const int64_t before = GetGrpcStats().exceptions;
  ServerOptions server_options;
  server_options.propagator = std::make_shared<Thrower>();
  ProbeServer server(Bridged(server_options));
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    return grpc::Status::OK;
  };
  ClientOptions client_options;
  client_options.propagator = std::make_shared<Thrower>();
  auto stub = Stub(server, client_options);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(GetGrpcStats().exceptions, before + 2);
  ClientAndServer();
}

// --- streams ---

TEST_F(OpenTelemetryTest, AStreamHasOneSpanOnEachSide) {
  ProbeServer server(Bridged());
  server.download = [](grpc::ServerContext& sc, const Ping&,
                       grpc::ServerWriter<Pong>* writer) {
    EXPECT_EQ(TraceOf(ContextOf(sc))->SpanIdHex(), ActiveSpan());
    for (int i = 0; i < 10; ++i) writer->Write(Pong());
    return grpc::Status::OK;
  };
  auto stub = Stub(server);
  {
    grpc::ClientContext call;
    auto reader = stub->Download(&call, Ping());
    Pong pong;
    while (reader->Read(&pong)) {
    }
    EXPECT_TRUE(reader->Finish().ok());
  }
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.name, "tether.testing.Probe/Download");
  EXPECT_EQ(client_span.code(), 0);
  EXPECT_EQ(server_span.code(), 0);
  EXPECT_EQ(server_span.parent_id, client_span.id);
}

TEST_F(OpenTelemetryTest, AnAbandonedStreamsSpansEndToo) {
  ProbeServer server(Bridged());
  server.download = [](grpc::ServerContext& sc, const Ping&,
                       grpc::ServerWriter<Pong>* writer) {
    writer->Write(Pong());
    ContextOf(sc).WaitFor(kNever);
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  {
    grpc::ClientContext call;
    auto reader = stub->Download(&call, Ping());
    Pong pong;
    EXPECT_TRUE(reader->Read(&pong));
  }  // neither read to its end nor finished
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_EQ(client_span.code(), -1);
  EXPECT_EQ(client_span.status, trace::StatusCode::kError);
  EXPECT_EQ(client_span.description, "the call ended without a status");
  EXPECT_EQ(server_span.code(), 1);
  EXPECT_EQ(server_span.cause(),
            "CANCELLED: the caller cancelled the call or is gone");
}

// --- the callback and async APIs, and shutdown ---

TEST_F(OpenTelemetryTest, TheSpanIsActiveInACallbackHandlersMethodOnly) {
  ProbeServer server(BridgedCallback());
  std::thread worker;
  server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                              Pong*) {
    const Context ctx = ContextOf(*sc);
    EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), ActiveSpan());
    auto* reactor = sc->DefaultReactor();
    worker = std::thread([ctx, reactor] {
      EXPECT_EQ(ActiveSpan(), kNoSpan);
      {
        const auto active = ActivateSpan(ctx);
        EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), ActiveSpan());
      }
      EXPECT_EQ(ActiveSpan(), kNoSpan);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  };
  auto stub = Stub(server);
  {
    grpc::ClientContext call;
    EXPECT_TRUE(Call(*stub, call).ok());
  }
  worker.join();
  EXPECT_EQ(ClientAndServer().server.code(), 0);
}

// Collects from several threads.
class Seen {
 public:
  void Add(std::string what) {
    absl::MutexLock lock(&mutex_);
    all_.push_back(std::move(what));
  }

  // The first `n`, or as many as come before kNever.
  std::vector<std::string> WaitFor(size_t n) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&] {
      mutex_.AssertReaderHeld();
      return all_.size() >= n;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), kNever);
    return all_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> all_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(OpenTelemetryTest, NothingStaysActiveOnThreadsOfGrpc) {
  for (const bool callback_api : {false, true}) {
    // What is active on gRPC's own threads before and after all else: listed
    // after the bridge, this is the first to see a request, and the last to run
    // on its thread; perhaps after the call, and beside the next one.
    const auto seen = std::make_shared<Seen>();
    const auto outermost = [seen](Methods* methods, auto*) {
      const std::shared_ptr<Seen> kept = seen;  // `this` may be gone
      const bool request =
          methods->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA);
      if (request) kept->Add(ActiveSpan());
      methods->Proceed();  // and with that, the handler
      if (request) kept->Add(ActiveSpan());
    };
    ProbeServer::Options options = BridgedBetween(nullptr, outermost);
    options.callback_api = callback_api;
    // Scopes that handlers forget to end. They go on another thread, which
    // undoes nothing on theirs.
    std::vector<std::unique_ptr<trace::Scope>> forgotten;
    std::vector<nostd::unique_ptr<opentelemetry::context::Token>> tokens;
    const auto forget = [&](const grpc::ServerContextBase& sc) {
      forgotten.push_back(
          std::make_unique<trace::Scope>(SpanOf(ContextOf(sc))));
      tokens.push_back(ActivateSpan(ContextOf(sc)));
      forgotten.push_back(
          std::make_unique<trace::Scope>(SpanOf(ContextOf(sc))));
    };
    ProbeServer server(options);
    server.unary = [&](grpc::ServerContext& sc, const Ping& ping, Pong*) {
      EXPECT_NE(ActiveSpan(), kNoSpan);
      forget(sc);
      if (ping.number() == 1) throw std::runtime_error("oops");
      return grpc::Status::OK;
    };
    server.callback_unary = [&](grpc::CallbackServerContext* sc, const Ping*,
                                Pong*) {
      EXPECT_NE(ActiveSpan(), kNoSpan);
      forget(*sc);
      auto* reactor = sc->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    };
    auto stub = server.Stub(std::nullopt);
    for (int number : {0, 1, 0}) {
      grpc::ClientContext call;
      Call(*stub, call, number);
    }
    EXPECT_EQ(seen->WaitFor(6), std::vector<std::string>(6, kNoSpan));
    EXPECT_EQ(forgotten.size(), 6u);
    Spans(3);
  }
}

TEST_F(OpenTelemetryTest, HooksOfOtherInterceptorsRunInTheSpan) {
  std::string seen;
  const auto before = [&](Methods* methods,
                          grpc::experimental::ServerRpcInfo* info) {
    if (methods->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      const Context ctx = ContextOf(*info->server_context());
      EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), ActiveSpan());
      seen = ActiveSpan();
    }
    methods->Proceed();
  };
  ProbeServer server(BridgedBetween(before, nullptr));
  server.unary = [](grpc::ServerContext&, const Ping&, Pong*) {
    return grpc::Status::OK;
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  EXPECT_TRUE(Call(*stub, call).ok());
  EXPECT_EQ(Spans(1).at(0).id, seen);
}

TEST_F(OpenTelemetryTest, AShutdownThatCutsACallOffEndsItsSpans) {
  ProbeServer server(Bridged());
  absl::Notification entered;
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    entered.Notify();
    ContextOf(sc).WaitFor(kNever);
    return StatusOf(ContextOf(sc));
  };
  auto stub = Stub(server);
  std::thread caller([&] {
    grpc::ClientContext call;
    EXPECT_FALSE(Call(*stub, call).ok());
  });
  entered.WaitForNotification();
  server.server().Shutdown(std::chrono::system_clock::now());
  caller.join();
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_NE(client_span.code(), 0);
  EXPECT_NE(server_span.cause(), "");
}

// An async server is shut down with requests that it has asked for and never
// got: gRPC makes interceptors that see no hook.
TEST_F(OpenTelemetryTest, AnAsyncServersSpansEndWithItsCalls) {
  Probe::AsyncService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  InstallServerWithOpenTelemetry(builder, {}, telemetry_);
  auto queue = builder.AddCompletionQueue();
  auto server = builder.BuildAndStart();
  auto stub = Probe::NewStub(CreateChannelWithOpenTelemetry(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(),
      {}, Arguments(), telemetry_));
  struct Request {
    grpc::ServerContext context;
    Ping ping;
    grpc::ServerAsyncResponseWriter<Pong> responder{&context};
  };
  auto answered = std::make_unique<Request>();
  auto dropped = std::make_unique<Request>();
  auto never_came = std::make_unique<Request>();
  const auto ask = [&](Request& request) {
    service.RequestUnary(&request.context, &request.ping, &request.responder,
                         queue.get(), queue.get(), &request);
  };
  void* tag = nullptr;
  bool ok = false;

  ask(*answered);
  std::thread caller([&] {
    grpc::ClientContext call;
    EXPECT_TRUE(Call(*stub, call).ok());
  });
  ASSERT_TRUE(queue->Next(&tag, &ok) && ok);
  EXPECT_EQ(ActiveSpan(), kNoSpan);  // the handler doesn't run in a hook
  EXPECT_TRUE(SpanOf(ContextOf(answered->context))->IsRecording());
  answered->responder.Finish(Pong(), grpc::Status::OK, answered.get());
  ASSERT_TRUE(queue->Next(&tag, &ok) && ok);
  caller.join();
  {
    const auto [client_span, server_span] = ClientAndServer();
    EXPECT_EQ(server_span.code(), 0);
    EXPECT_EQ(server_span.parent_id, client_span.id);
  }
  answered.reset();

  ask(*dropped);
  std::thread second_caller([&] {
    auto [ctx, cancel] = WithTimeout(Background(), kNever);
    ClientCall call(ctx);
    EXPECT_FALSE(Call(*stub, call).ok());
  });
  ASSERT_TRUE(queue->Next(&tag, &ok) && ok);
  ask(*never_came);
  server->Shutdown(std::chrono::system_clock::now());
  second_caller.join();
  dropped.reset();
  queue->Shutdown();
  while (queue->Next(&tag, &ok)) EXPECT_FALSE(ok);
  never_came.reset();
  const auto [client_span, server_span] = ClientAndServer();
  EXPECT_NE(client_span.code(), 0);
  EXPECT_EQ(server_span.code(), -1);
  EXPECT_EQ(server_span.status, trace::StatusCode::kError);
}

// --- without the SDK ---

TEST_F(OpenTelemetryTest, WithoutAnSdkTheTraceGoesOnAsWithoutTheBridge) {
  telemetry_.tracer_provider = trace::Provider::GetTracerProvider();
  Receiver receiver;
  auto next = Stub(receiver.server());
  ProbeServer server(Bridged());
  server.unary = [&](grpc::ServerContext& sc, const Ping&, Pong*) {
    const Context ctx = ContextOf(sc);
    EXPECT_EQ(TraceOf(ctx)->SpanIdHex(), "00f067aa0ba902b7");
    EXPECT_FALSE(SpanOf(ctx)->IsRecording());
    EXPECT_EQ(ActiveSpan(), "00f067aa0ba902b7");
    ClientCall call(ctx);
    return Call(*next, call);
  };
  auto stub = server.Stub(std::nullopt);
  grpc::ClientContext call;
  call.AddMetadata("traceparent",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  call.AddMetadata("tracestate", "acme=p:3");
  EXPECT_TRUE(Call(*stub, call).ok());
  const auto sent = ParseTraceParent(receiver.Get("traceparent"));
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->TraceIdHex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_NE(sent->SpanIdHex(), "00f067aa0ba902b7");
  EXPECT_TRUE(sent->sampled());
  EXPECT_EQ(receiver.Get("tracestate"), "acme=p:3");
}

}  // namespace
}  // namespace tether
