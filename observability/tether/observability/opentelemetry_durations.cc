// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/opentelemetry_durations.h"

#include <grpcpp/support/status.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "opentelemetry/common/attribute_value.h"
#include "opentelemetry/common/key_value_iterable_view.h"
#include "opentelemetry/context/context.h"
#include "opentelemetry/metrics/meter.h"
#include "opentelemetry/metrics/provider.h"
#include "opentelemetry/metrics/sync_instruments.h"
#include "opentelemetry/nostd/string_view.h"
#include "opentelemetry/nostd/unique_ptr.h"
#include "tether/grpc/internal/call_observer.h"
#include "tether/grpc/internal/counters.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/nanos.h"

namespace tether {
namespace {

namespace metrics = opentelemetry::metrics;
namespace nostd = opentelemetry::nostd;
using Histogram = nostd::unique_ptr<metrics::Histogram<double>>;

nostd::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// Never destroyed, since RPCs may end while the process exits.
class Recorder final : public internal::CallObserver {
 public:
  explicit Recorder(nostd::shared_ptr<metrics::MeterProvider> provider)
      : provider_(std::move(provider)) {
    const auto meter = provider_->GetMeter("tether");
    server_ = meter->CreateDoubleHistogram(
        "rpc.server.duration", "Measures the duration of inbound RPC.", "ms");
    client_ = meter->CreateDoubleHistogram(
        "rpc.client.duration", "Measures the duration of outbound RPC.", "ms");
  }

  void OnRequestEnd(const internal::RequestEnd& request) noexcept override {
    Record(*server_, request.method, request.code, request.spent);
  }
  void OnCallBegin(const internal::CallBegin&) noexcept override {}
  void OnCallEnd(const internal::CallEnd& call) noexcept override {
    Record(*client_, call.method, call.code, call.spent);
  }

 private:
  using Attribute =
      std::pair<nostd::string_view, opentelemetry::common::AttributeValue>;

  static void Record(metrics::Histogram<double>& histogram,
                     std::string_view method, grpc::StatusCode code,
                     internal::Nanos spent) noexcept {
    std::string_view service;
    const size_t slash = method.rfind('/');
    if (slash != std::string_view::npos) {
      if (slash > 0) service = method.substr(1, slash - 1);
      method.remove_prefix(slash + 1);
    }
    const std::array<Attribute, 4> attributes = {
        {{"rpc.system", "grpc"},
         {"rpc.service", View(service)},
         {"rpc.method", View(method)},
         {"rpc.grpc.status_code", static_cast<int>(code)}}};
    TETHER_TRY {
      histogram.Record(
          static_cast<double>(spent) / 1e6,
          opentelemetry::common::KeyValueIterableView<std::array<Attribute, 4>>(
              attributes),
          opentelemetry::context::Context());
    }
    TETHER_CATCH(...) { CountEvent(internal::RpcEvent::kException); }
  }

  const nostd::shared_ptr<metrics::MeterProvider> provider_;
  Histogram server_;
  Histogram client_;
};

}  // namespace

void RecordOpenTelemetryDurations(
    nostd::shared_ptr<metrics::MeterProvider> provider) {
  if (provider == nullptr) provider = metrics::Provider::GetMeterProvider();
  internal::AddCallObserver(
      std::make_unique<Recorder>(std::move(provider)).release());
}

}  // namespace tether
