// SPDX-License-Identifier: Apache-2.0
//
// Uses every template and inline function of tether that a user's program can
// use, in a program whose own symbols are hidden. It links only if tether's
// libraries export all the symbols that this code needs. Prints "all of it".
// With WITHOUT_GRPC defined, it uses only the part of lib/ that needs no
// Protobuf.

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tether/after_func.h"
#include "tether/channel.h"
#include "tether/clock.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/executor.h"
#include "tether/first_of.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/default.h"
#include "tether/propagation/delegating.h"
#include "tether/propagation/edge.h"
#include "tether/propagation/header.h"
#include "tether/propagation/limited_carrier.h"
#include "tether/propagation/redact.h"
#include "tether/propagation/relay.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/timeout_header.h"
#include "tether/propagation/trace_context.h"
#include "tether/propagation/trace_state.h"
#include "tether/task_group.h"
#include "tether/testing/simulated_clock.h"
#include "tether/version.h"

#ifndef WITHOUT_GRPC
#include <grpcpp/grpcpp.h>

#include "shop/v1/inventory.pb.h"
#include "tether/budget/explain.h"
#include "tether/grpc/client.h"
#include "tether/grpc/inspect.h"
#include "tether/grpc/server.h"
#include "tether/grpc/stats.h"
#include "tether/grpc/status.h"
#include "tether/observability/inspector_service.h"
#include "tether/observability/metric_table.h"
#include "tether/observability/metrics.h"
#include "tether/observability/propagation_health.h"
#include "tether/observability/snapshot.h"
#include "tether/propagation/proto_codec.h"
#include "tether/v1/inspector.grpc.pb.h"
#endif

namespace {

inline constexpr tether::Key<std::string> kUser{"user"};
inline constexpr tether::Key<int> kPriority{"priority"};

// A propagator that the program defines.
class Nothing final : public tether::Propagator {
 public:
  std::vector<std::string_view> Fields() const override { return {}; }
  void Inject(const tether::Context&, tether::Carrier&) const override {}
  tether::Context Extract(const tether::Carrier&,
                          const tether::Context& parent) const override {
    return parent;
  }
  int64_t Dropped() const override { return 0; }
};

class ReadOnly final : public tether::DelegatingPropagator {
 public:
  using DelegatingPropagator::DelegatingPropagator;
  void Inject(const tether::Context&, tether::Carrier&) const override {}
};

bool Contexts() {
  tether::testing::SimulatedClock clock;
  auto [root, cancel_root] = tether::WithCancel(tether::Background(clock));
  const tether::Context user =
      tether::WithValue(root, kUser, std::string("ada"));
  auto [ctx, cancel] = tether::WithTimeout(user, absl::Seconds(1));
  auto [merged, cancel_merged] = tether::Merge(ctx, tether::Todo());
  bool ended = false;
  const tether::Registration at_end =
      tether::AfterFunc(merged, [&ended] { ended = true; });
  const tether::ScopedContext scope(ctx);
  if (*tether::Current().Value(kUser) != "ada") return false;
  clock.Advance(absl::Seconds(2));
  return ended && merged.Done() &&
         tether::EndReasonOf(merged) == tether::EndReason::kOwnTimeout;
}

bool Tasks() {
  tether::TaskGroup group(tether::Background());
  tether::Channel<std::unique_ptr<int>> numbers(1);
  group.Go([&numbers](const tether::Context& ctx) {
    return numbers.Send(ctx, std::make_unique<int>(7));
  });
  const auto number = numbers.Receive(tether::Background());
  const auto submit = tether::BindExecutor([](auto fn) { fn(); });
  bool ran = false;
  submit([&ran] { ran = true; });
  const auto answers = tether::FirstOf(
      tether::Background(), 1,
      [](const tether::Context&) { return absl::StatusOr<int>(7); });
  return number.ok() && **number == 7 && ran && group.Wait().ok() &&
         answers.ok() && answers->front().value == 7;
}

bool Values() {
  const tether::HeaderPropagator<std::string> header(
      kUser, "x-user",
      {[](std::string_view text) {
         return std::optional<std::string>(std::string(text));
       },
       [](const std::string& user) { return user; }});
  const tether::Context ctx =
      tether::WithValue(tether::WithValue(tether::Background(), kPriority, 7),
                        kUser, std::string("ada"));
  const tether::CompositePropagator all{
      Nothing(),
      std::make_shared<tether::B3Propagator>(),
      tether::BaggagePropagator(),
      tether::RequestIdPropagator(),
      tether::TraceContextPropagator(),
      tether::HeaderPropagator<int>(kPriority, "x-priority",
                                    tether::IntCodec(0, 9)),
      ReadOnly(tether::DefaultPropagator())};
  tether::MapCarrier carrier;
  header.Inject(ctx, carrier);
  all.Inject(tether::WithTrace(ctx, tether::NewTrace()), carrier);
  const tether::Context there =
      header.Extract(carrier, all.Extract(carrier, {}));
  return *there.Value(kUser) == "ada" && *there.Value(kPriority) == 7 &&
         tether::TraceOf(there) != nullptr &&
         tether::BaggageOf(there).size() == 0 &&
         tether::RequestIdOf(there) == nullptr;
}

#ifndef WITHOUT_GRPC

using shop::v1::GetStockRequest;

inline constexpr tether::Key<GetStockRequest> kRequest{"request"};

bool Messages() {
  const tether::HeaderPropagator<GetStockRequest> propagator(
      kRequest, "x-request-bin", tether::ProtoCodec<GetStockRequest>());
  GetStockRequest request;
  request.set_product_id("tea");
  tether::MapCarrier carrier;
  propagator.Inject(tether::WithValue(tether::Background(), kRequest, request),
                    carrier);
  const tether::Context there = propagator.Extract(carrier, {});
  return there.Value(kRequest)->product_id() == "tea";
}

// A type is the same on both sides of a shared library's boundary.
bool Types() {
  const std::shared_ptr<const tether::Propagator> known =
      tether::DefaultPropagator();
#if defined(__cpp_rtti)
  const tether::Propagator& propagator = *known;
  return dynamic_cast<const Nothing*>(known.get()) == nullptr &&
         dynamic_cast<const tether::CompositePropagator*>(known.get()) !=
             nullptr &&
         typeid(propagator) == typeid(tether::CompositePropagator);
#else
  return known != nullptr;
#endif
}

bool Calls() {
  grpc::ServerBuilder builder;
  tether::InstallServer(builder);
  auto [expired, cancel] =
      tether::WithDeadline(tether::Background(), absl::InfinitePast());
  tether::ClientCall call(expired);
  return tether::GetGrpcStats().server_calls == 0 &&
         !tether::StatusOf(expired).ok() && !call.report().answered() &&
         tether::Explain(call.report()).find("storefront") == std::string::npos;
}

bool Operations() {
  const bool started = tether::StartMetrics();
  const std::unique_ptr<grpc::Service> inspector =
      tether::MakeInspectorService();
  return started && inspector != nullptr &&
         tether::Inspect().requests.empty() &&
         tether::ReadMetrics().servers.empty() &&
         !tether::MetricTable().empty() &&
         tether::GetPropagationHealth().findings_size() == 0 &&
         tether::TakeSnapshot().process() == tether::ProcessName();
}

// The service's generated code, and the figures of its RPC. After Operations.
bool Inspection() {
  if (tether::StartMetrics()) return false;  // it is started
  const std::unique_ptr<grpc::Service> service = tether::MakeInspectorService();
  grpc::ServerBuilder builder;
  tether::InstallServer(builder);
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = tether::v1::Inspector::NewStub(
      server->InProcessChannel(grpc::ChannelArguments()));
  grpc::ClientContext call;
  tether::v1::Snapshot snapshot;
  const grpc::Status status = stub->List(&call, {}, &snapshot);
  server->Shutdown();

  const tether::Metrics metrics = tether::ReadMetrics();
  return status.ok() && snapshot.process() == tether::ProcessName() &&
         metrics.servers.count("/tether.v1.Inspector/List") == 1;
}

#endif  // WITHOUT_GRPC

}  // namespace

int main() {
  const std::pair<const char*, bool (*)()> parts[] = {
      {"contexts", Contexts},     {"tasks", Tasks},
      {"values", Values},
#ifndef WITHOUT_GRPC
      {"messages", Messages},     {"types", Types},
      {"calls", Calls},           {"operations", Operations},
      {"inspection", Inspection},
#endif
  };
  for (const auto& [name, part] : parts) {
    if (!part()) {
      std::printf("broken: %s\n", name);
      return 1;
    }
  }
  std::printf("all of it\n");
}
