// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's metrics, collected by a reader of its SDK: the points are the
// values of the table.
//
// The test needs OpenTelemetry's SDK (tools/setup.sh opentelemetry), so it is
// "manual".

#include "tether/observability/opentelemetry_metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "opentelemetry/metrics/meter_provider.h"
#include "opentelemetry/metrics/provider.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/nostd/variant.h"
#include "opentelemetry/sdk/metrics/data/metric_data.h"
#include "opentelemetry/sdk/metrics/data/point_data.h"
#include "opentelemetry/sdk/metrics/instruments.h"
#include "opentelemetry/sdk/metrics/meter_provider.h"
#include "opentelemetry/sdk/metrics/metric_reader.h"
#include "tether/observability/metric_table.h"
#include "tether/observability/metrics.h"
#include "tether/observability/testing/sample_metrics.h"

namespace tether {
namespace {

namespace api = opentelemetry::metrics;
namespace nostd = opentelemetry::nostd;
namespace sdk = opentelemetry::sdk::metrics;
using testing::kCalled;
using testing::kServed;

// Collects when the test asks for it.
class Reader final : public sdk::MetricReader {
 public:
  explicit Reader(sdk::AggregationTemporality temporality)
      : temporality_(temporality) {}

  sdk::AggregationTemporality GetAggregationTemporality(
      sdk::InstrumentType) const noexcept override {
    return temporality_;
  }

 private:
  bool OnForceFlush(std::chrono::microseconds) noexcept override {
    return true;
  }
  bool OnShutDown(std::chrono::microseconds) noexcept override { return true; }

  const sdk::AggregationTemporality temporality_;
};

// What was collected of one instrument.
struct Collected {
  std::string unit, description;
  sdk::InstrumentType type;
  // By the attributes, in the order of their names: "a=1,b=2".
  std::map<std::string, double> points;
};

std::string TextOf(const sdk::PointAttributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes) {
    absl::StrAppend(&text, text.empty() ? "" : ",", name, "=");
    if (const auto* string = nostd::get_if<std::string>(&value)) {
      absl::StrAppend(&text, *string);
    } else {
      absl::StrAppend(&text, nostd::get<int32_t>(value));
    }
  }
  return text;
}

double NumberOf(const sdk::PointType& point) {
  const auto* sum = nostd::get_if<sdk::SumPointData>(&point);
  const sdk::ValueType value =
      sum != nullptr ? sum->value_
                     : nostd::get<sdk::LastValuePointData>(point).value_;
  if (const auto* number = nostd::get_if<int64_t>(&value)) {
    return static_cast<double>(*number);
  }
  return nostd::get<double>(value);
}

std::map<std::string, Collected> Collect(sdk::MetricReader& reader) {
  std::map<std::string, Collected> all;
  reader.Collect([&](sdk::ResourceMetrics& resource) {
    for (const auto& scope : resource.scope_metric_data_) {
      EXPECT_EQ(scope.scope_->GetName(), "tether");
      for (const auto& metric : scope.metric_data_) {
        const auto& instrument = metric.instrument_descriptor;
        Collected& collected = all[instrument.name_];
        collected.unit = instrument.unit_;
        collected.description = instrument.description_;
        collected.type = instrument.type_;
        for (const auto& point : metric.point_data_attr_) {
          EXPECT_TRUE(
              collected.points
                  .emplace(TextOf(point.attributes), NumberOf(point.point_data))
                  .second);
        }
      }
    }
    return true;
  });
  return all;
}

class OpenTelemetryMetricsTest : public ::testing::Test {
 protected:
  std::shared_ptr<Reader> AddReader(
      sdk::AggregationTemporality temporality =
          sdk::AggregationTemporality::kCumulative) {
    auto reader = std::make_shared<Reader>(temporality);
    sdk_->AddMetricReader(reader);
    return reader;
  }

  OpenTelemetryMetricsOptions Options() {
    OpenTelemetryMetricsOptions options;
    options.meter_provider = provider_;
    options.read = [this] {
      EXPECT_EQ(reading_++, 0);
      const MetricValues values = values_;
      ++reads_;
      --reading_;
      return values;
    };
    return options;
  }

  MetricValues values_ = testing::SampleMetrics();
  std::atomic<int> reading_{0};
  std::atomic<int> reads_{0};
  std::shared_ptr<sdk::MeterProvider> sdk_ =
      std::make_shared<sdk::MeterProvider>();
  nostd::shared_ptr<api::MeterProvider> provider_{
      std::shared_ptr<api::MeterProvider>(sdk_)};
};

TEST_F(OpenTelemetryMetricsTest, EachRowIsAnInstrumentWithItsUnitAndMeaning) {
  const auto reader = AddReader();
  const OpenTelemetryMetrics metrics(Options());
  auto all = Collect(*reader);
  size_t found = 0;
  for (const MetricRow& row : MetricTable()) {
    const std::string name(row.opentelemetry_name);
    if (row.type == MetricType::kHistogram) {
      for (const char* part : {".count", ".sum", ".bucket"}) {
        ASSERT_EQ(all.count(name + part), 1u) << name << part;
        EXPECT_EQ(all[name + part].type,
                  sdk::InstrumentType::kObservableCounter);
        EXPECT_EQ(all[name + part].description, row.help);
      }
      EXPECT_EQ(all[name + ".sum"].unit, "s");
      found += 3;
      continue;
    }
    ASSERT_EQ(all.count(name), 1u) << name;
    EXPECT_EQ(all[name].unit, row.unit);
    EXPECT_EQ(all[name].description, row.help);
    EXPECT_EQ(all[name].type == sdk::InstrumentType::kObservableCounter,
              row.type == MetricType::kCounter);
    ++found;
  }
  EXPECT_EQ(found, all.size());
  EXPECT_EQ(all["tether.contexts"].type,
            sdk::InstrumentType::kObservableUpDownCounter);
  EXPECT_EQ(all["tether.server.deaf_longest"].type,
            sdk::InstrumentType::kObservableGauge);
  EXPECT_EQ(all["tether.client.call_duration.count"].unit, "{call}");
  EXPECT_EQ(all["tether.server.service_time.bucket"].unit, "{request}");
}

// Their values are in metric_table_test.
TEST_F(OpenTelemetryMetricsTest, PointsAreTheValuesOfTheTable) {
  const auto reader = AddReader();
  const OpenTelemetryMetrics metrics(Options());
  auto all = Collect(*reader);
  for (const MetricRow& row : MetricTable()) {
    std::multiset<double> expected;
    MetricSink sink;
    sink.value = [&](const MetricLabels&, double value) {
      expected.insert(value);
    };
    sink.histogram = [](const MetricLabels&, const DurationHistogram&) {};
    row.visit(values_, sink);
    if (expected.empty()) continue;
    std::multiset<double> points;
    for (const auto& point : all[std::string(row.opentelemetry_name)].points) {
      points.insert(point.second);
    }
    EXPECT_EQ(points, expected) << row.opentelemetry_name;
  }
}

TEST_F(OpenTelemetryMetricsTest, AttributesHaveTheNamesOfTheConventions) {
  const auto reader = AddReader();
  const OpenTelemetryMetrics metrics(Options());
  auto all = Collect(*reader);
  const std::string served =
      "rpc.method=GetOrder,rpc.service=shop.v1.Orders,rpc.system=grpc";
  using Points = std::map<std::string, double>;
  EXPECT_EQ(
      all["tether.server.requests"].points,
      (Points{
          {"rpc.grpc.status_code=0," + served + ",tether.reason=completed",
           101},
          {"rpc.grpc.status_code=4," + served +
               ",tether.reason=inherited_deadline",
           102},
          {"rpc.grpc.status_code=1," + served + ",tether.reason=caller_left",
           103}}));
  EXPECT_EQ(all["tether.server.requests.in_flight"].points,
            (Points{{served, 5}, {"rpc.method=other,rpc.system=grpc", 0}}));
  EXPECT_EQ(all["tether.server.deaf_longest"].points, (Points{{served, 1.5}}));
  EXPECT_EQ(all["tether.server.calls_without_context"].points,
            (Points{{served + ",tether.callee=" + std::string(kCalled), 112}}));
  EXPECT_EQ(all["tether.contexts"].points, (Points{{"", 311}}));
}

TEST_F(OpenTelemetryMetricsTest, HistogramsAreCountSumAndBuckets) {
  const auto reader = AddReader();
  const OpenTelemetryMetrics metrics(Options());
  auto all = Collect(*reader);
  const std::string name = "tether.server.time_left_on_arrival";
  const std::string served =
      "rpc.method=GetOrder,rpc.service=shop.v1.Orders,rpc.system=grpc";
  EXPECT_EQ(all[name + ".count"].points.at(served), 4);
  EXPECT_DOUBLE_EQ(all[name + ".sum"].points.at(served), 3.55);
  const auto& buckets = all[name + ".bucket"].points;
  EXPECT_EQ(buckets.size(), 20u);
  const auto bucket = [&](const std::string& le) {
    return buckets.at("le=" + le + "," + served);
  };
  EXPECT_EQ(bucket("0"), 1);
  EXPECT_EQ(bucket("0.2"), 1);
  EXPECT_EQ(bucket("0.5"), 3);
  EXPECT_EQ(bucket("5"), 4);
  EXPECT_EQ(bucket("+Inf"), 4);
}

TEST_F(OpenTelemetryMetricsTest, UnusualMethodsAreAttributes) {
  values_ = MetricValues();
  values_.metrics.servers["no slash"].watches = 1;
  values_.metrics.servers["/one"].watches = 2;
  values_.metrics.servers["/a/b/c"].watches = 3;
  values_.metrics.servers["/\xff\n/\x01"].watches = 4;
  const auto reader = AddReader();
  const OpenTelemetryMetrics metrics(Options());
  EXPECT_EQ(Collect(*reader)["tether.server.watches"].points,
            (std::map<std::string, double>{
                {"rpc.method=no slash,rpc.system=grpc", 1},
                {"rpc.method=one,rpc.system=grpc", 2},
                {"rpc.method=c,rpc.service=a/b,rpc.system=grpc", 3},
                {"rpc.method=\\x01,rpc.service=\\xff\\n,rpc.system=grpc", 4}}));
}

TEST_F(OpenTelemetryMetricsTest, EachCollectionReadsOnceAndAnew) {
  const auto reader = AddReader();
  const OpenTelemetryMetrics metrics(Options());
  for (int i = 1; i <= 5; ++i) {
    values_.contexts.contexts = 1000 - i;  // falls, as gauges do
    values_.metrics.servers[kServed].watches = 1000 + i;
    auto all = Collect(*reader);
    EXPECT_EQ(reads_, i);
    EXPECT_EQ(all["tether.contexts"].points.at(""), 1000 - i);
    EXPECT_EQ(all["tether.server.watches"].points.begin()->second, 1000 + i);
  }
}

TEST_F(OpenTelemetryMetricsTest, DeltasAreWhatWasCountedSince) {
  const auto reader = AddReader(sdk::AggregationTemporality::kDelta);
  const OpenTelemetryMetrics metrics(Options());
  Collect(*reader);
  values_.metrics.servers[kServed].watches += 7;
  EXPECT_EQ(Collect(*reader)["tether.server.watches"].points.begin()->second,
            7);
}

TEST_F(OpenTelemetryMetricsTest, AfterTheEndNothingIsRead) {
  const auto reader = AddReader();
  auto metrics = std::make_unique<OpenTelemetryMetrics>(Options());
  Collect(*reader);
  ASSERT_EQ(reads_, 1);
  metrics = nullptr;
  Collect(*reader);
  EXPECT_EQ(reads_, 1);
}

TEST_F(OpenTelemetryMetricsTest, ReadersOfSeveralThreadsMayCollectUntilTheEnd) {
  const std::vector<std::shared_ptr<Reader>> readers = {
      AddReader(), AddReader(), AddReader()};
  auto metrics = std::make_unique<OpenTelemetryMetrics>(Options());
  std::atomic<bool> over{false};
  std::atomic<int> collections{0};
  std::vector<std::thread> threads;
  for (const auto& reader : readers) {
    threads.emplace_back([&, reader] {
      while (!over) {
        Collect(*reader);
        ++collections;
      }
    });
  }
  while (collections < 20) std::this_thread::yield();
  metrics = nullptr;
  const int reads = reads_;
  const int before = collections;
  while (collections < before + 5) std::this_thread::yield();
  EXPECT_EQ(reads_, reads);
  over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(OpenTelemetryMetricsTest, WithoutAProviderItTakesTheGlobalOne) {
  const auto reader = AddReader();
  const auto before = api::Provider::GetMeterProvider();
  api::Provider::SetMeterProvider(provider_);
  {
    OpenTelemetryMetricsOptions options = Options();
    options.meter_provider = nostd::shared_ptr<api::MeterProvider>();
    const OpenTelemetryMetrics metrics(std::move(options));
    EXPECT_EQ(Collect(*reader)["tether.contexts"].points.at(""), 311);
  }
  api::Provider::SetMeterProvider(before);
}

TEST_F(OpenTelemetryMetricsTest, WithoutAnSdkNothingIsRead) {
  OpenTelemetryMetricsOptions options = Options();
  options.meter_provider = nostd::shared_ptr<api::MeterProvider>();
  { const OpenTelemetryMetrics metrics(std::move(options)); }
  EXPECT_EQ(reads_, 0);
}

}  // namespace
}  // namespace tether
