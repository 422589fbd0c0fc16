// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/opentelemetry_metrics.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "opentelemetry/common/attribute_value.h"
#include "opentelemetry/common/key_value_iterable_view.h"
#include "opentelemetry/metrics/async_instruments.h"
#include "opentelemetry/metrics/meter.h"
#include "opentelemetry/metrics/observer_result.h"
#include "opentelemetry/metrics/provider.h"
#include "opentelemetry/nostd/string_view.h"
#include "opentelemetry/nostd/variant.h"
#include "tether/internal/mutex.h"
#include "tether/observability/metrics.h"

namespace tether {
namespace {

namespace metrics = opentelemetry::metrics;
namespace nostd = opentelemetry::nostd;
using SteadyClock = std::chrono::steady_clock;

nostd::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// The number of a code that the table has written.
int CodeOf(std::string_view name) {
  for (int code = 0; code <= 16; ++code) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(code)) == name) {
      return code;
    }
  }
  return static_cast<int>(absl::StatusCode::kUnknown);
}

// The attributes of one measurement.
class Attributes {
 public:
  explicit Attributes(const MetricLabels& labels) {
    for (const auto& [name, value] : labels) {
      if (name == "method") {
        AddMethod(value);
      } else if (name == "code") {
        values_.emplace_back("rpc.grpc.status_code", CodeOf(value));
      } else {
        Add(absl::StrCat("tether.", std::string(name)), value);
      }
    }
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  void Add(std::string name, std::string value) {
    const std::string& kept_name = texts_.emplace_back(std::move(name));
    const std::string& kept_value = texts_.emplace_back(std::move(value));
    values_.emplace_back(View(kept_name), View(kept_value));
  }

  template <typename Value>
  void Observe(const metrics::ObserverResult& result, Value value) const {
    using Result = nostd::shared_ptr<metrics::ObserverResultT<Value>>;
    if (const auto* observer = nostd::get_if<Result>(&result)) {
      (*observer)->Observe(value, values_);
    }
  }

 private:
  // "/package.Service/Method", or "other".
  void AddMethod(const std::string& method) {
    Add("rpc.system", "grpc");
    const size_t slash = method.rfind('/');
    if (slash == std::string::npos) return Add("rpc.method", method);
    if (slash > 0) Add("rpc.service", method.substr(1, slash - 1));
    Add("rpc.method", method.substr(slash + 1));
  }

  std::deque<std::string> texts_;  // their addresses don't change
  std::vector<
      std::pair<nostd::string_view, opentelemetry::common::AttributeValue>>
      values_;
};

// What an instrument exports of its row.
enum class Part { kValue, kCount, kSum, kBucket };

void ObserveBuckets(const metrics::ObserverResult& result,
                    const MetricLabels& labels,
                    const DurationHistogram& histogram) {
  const auto& bounds = DurationHistogram::Bounds();
  uint64_t count = 0;
  for (size_t i = 0; i < histogram.buckets.size(); ++i) {
    count += histogram.buckets[i];
    Attributes attributes(labels);
    attributes.Add("le", i < bounds.size() ? absl::StrCat(bounds[i]) : "+Inf");
    attributes.Observe(result, static_cast<int64_t>(count));
  }
}

void Observe(const metrics::ObserverResult& result, const MetricRow& row,
             Part part, const MetricValues& values) {
  MetricSink sink;
  sink.value = [&](const MetricLabels& labels, double value) {
    const Attributes attributes(labels);
    if (row.unit == "s") {
      attributes.Observe(result, value);
    } else {
      attributes.Observe(result, static_cast<int64_t>(value));
    }
  };
  sink.histogram = [&](const MetricLabels& labels,
                       const DurationHistogram& histogram) {
    if (part == Part::kBucket) {
      ObserveBuckets(result, labels, histogram);
    } else if (part == Part::kCount) {
      Attributes(labels).Observe(result, static_cast<int64_t>(histogram.count));
    } else {
      Attributes(labels).Observe(result, histogram.sum_seconds);
    }
  };
  row.visit(values, sink);
}

using Handle = nostd::shared_ptr<metrics::ObservableInstrument>;

Handle MakeInstrument(metrics::Meter& meter, const MetricRow& row, Part part) {
  const nostd::string_view help = View(row.help);
  const nostd::string_view unit = View(row.unit);
  const std::string name(row.opentelemetry_name);
  const bool is_call = absl::StartsWith(name, "tether.client.");
  const char* counted = is_call ? "{call}" : "{request}";
  switch (part) {
    case Part::kCount:
      return meter.CreateInt64ObservableCounter(name + ".count", help, counted);
    case Part::kSum:
      return meter.CreateDoubleObservableCounter(name + ".sum", help, unit);
    case Part::kBucket:
      return meter.CreateInt64ObservableCounter(name + ".bucket", help,
                                                counted);
    case Part::kValue:
      break;
  }
  if (row.type == MetricType::kCounter) {
    return meter.CreateInt64ObservableCounter(name, help, unit);
  }
  if (row.unit == "s") {
    return meter.CreateDoubleObservableGauge(name, help, unit);
  }
  return meter.CreateInt64ObservableUpDownCounter(name, help, unit);
}

}  // namespace

class OpenTelemetryMetrics::Instruments {
 public:
  explicit Instruments(OpenTelemetryMetricsOptions options)
      : provider_(options.meter_provider != nullptr
                      ? std::move(options.meter_provider)
                      : metrics::Provider::GetMeterProvider()),
        read_(std::move(options.read)),
        meter_(provider_->GetMeter("tether")) {
    for (const MetricRow& row : MetricTable()) {
      if (row.type == MetricType::kHistogram) {
        Add(row, Part::kCount);
        Add(row, Part::kSum);
        Add(row, Part::kBucket);
      } else {
        Add(row, Part::kValue);
      }
    }
    // From here on, other threads read instruments_.
    for (Instrument& instrument : instruments_) {
      instrument.handle->AddCallback(&OnCollect, &instrument);
    }
  }

  // The SDK runs callbacks under the lock that RemoveCallback takes.
  ~Instruments() {
    for (Instrument& instrument : instruments_) {
      instrument.handle->RemoveCallback(&OnCollect, &instrument);
    }
  }
  Instruments(const Instruments&) = delete;
  Instruments& operator=(const Instruments&) = delete;

 private:
  struct Instrument {
    Instruments* owner;
    const MetricRow* row;
    Part part;
    Handle handle;
  };

  // A reading serves one collection: as many callbacks as there are
  // instruments. If collections of several readers mix, it serves some of each,
  // but not for long.
  static constexpr std::chrono::seconds kOldest{1};

  static void OnCollect(metrics::ObserverResult result, void* state) {
    auto& instrument = *static_cast<Instrument*>(state);
    const auto values = instrument.owner->Reading();
    Observe(result, *instrument.row, instrument.part, *values);
  }

  void Add(const MetricRow& row, Part part) {
    instruments_.push_back(
        {this, &row, part, MakeInstrument(*meter_, row, part)});
  }

  std::shared_ptr<const MetricValues> Reading() {
    const internal::MutexLock lock(mutex_);
    const SteadyClock::time_point now = SteadyClock::now();
    if (values_ == nullptr || now - read_at_ > kOldest) {
      values_ = std::make_shared<const MetricValues>(read_());
      read_at_ = now;
      uses_left_ = instruments_.size();
    }
    auto values = values_;
    // The last callback of the collection frees the values.
    if (--uses_left_ == 0) values_ = nullptr;
    return values;
  }

  const nostd::shared_ptr<metrics::MeterProvider> provider_;
  const std::function<MetricValues()> read_;
  const nostd::shared_ptr<metrics::Meter> meter_;
  std::deque<Instrument> instruments_;  // their addresses don't change

  internal::Mutex mutex_;
  std::shared_ptr<const MetricValues> values_ ABSL_GUARDED_BY(mutex_);
  SteadyClock::time_point read_at_ ABSL_GUARDED_BY(mutex_);
  size_t uses_left_ ABSL_GUARDED_BY(mutex_) = 0;
};

OpenTelemetryMetrics::OpenTelemetryMetrics(OpenTelemetryMetricsOptions options)
    : instruments_(std::make_unique<Instruments>(std::move(options))) {}

OpenTelemetryMetrics::~OpenTelemetryMetrics() = default;

}  // namespace tether
