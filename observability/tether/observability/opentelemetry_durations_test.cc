// SPDX-License-Identifier: Apache-2.0
//
// OpenTelemetry's histograms of RPCs, collected by a reader of its SDK. The
// test needs the SDK (tools/setup.sh opentelemetry), so it is "manual".

#include "tether/observability/opentelemetry_durations.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "opentelemetry/nostd/shared_ptr.h"
#include "opentelemetry/nostd/variant.h"
#include "opentelemetry/sdk/metrics/data/metric_data.h"
#include "opentelemetry/sdk/metrics/data/point_data.h"
#include "opentelemetry/sdk/metrics/instruments.h"
#include "opentelemetry/sdk/metrics/meter_provider.h"
#include "opentelemetry/sdk/metrics/metric_reader.h"
#include "tether/context.h"
#include "tether/grpc/testing/front_and_leaf.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

namespace nostd = opentelemetry::nostd;
namespace sdk = opentelemetry::sdk::metrics;
using testing::kGiveUp;

// Collects when the test asks for it.
class Reader final : public sdk::MetricReader {
 public:
  sdk::AggregationTemporality GetAggregationTemporality(
      sdk::InstrumentType) const noexcept override {
    return sdk::AggregationTemporality::kCumulative;
  }

 private:
  bool OnForceFlush(std::chrono::microseconds) noexcept override {
    return true;
  }
  bool OnShutDown(std::chrono::microseconds) noexcept override { return true; }
};

struct Point {
  uint64_t count = 0;
  double sum = 0;
};

// By "instrument unit service method code".
std::map<std::string, Point> Collect(sdk::MetricReader& reader) {
  std::map<std::string, Point> all;
  reader.Collect([&](sdk::ResourceMetrics& resource) {
    for (const auto& scope : resource.scope_metric_data_) {
      EXPECT_EQ(scope.scope_->GetName(), "tether");
      for (const auto& metric : scope.metric_data_) {
        for (const auto& point : metric.point_data_attr_) {
          const auto text = [&point](const char* name) {
            return nostd::get<std::string>(point.attributes.at(name));
          };
          EXPECT_EQ(text("rpc.system"), "grpc");
          const auto& data =
              nostd::get<sdk::HistogramPointData>(point.point_data);
          all[absl::StrCat(metric.instrument_descriptor.name_, " ",
                           metric.instrument_descriptor.unit_, " ",
                           text("rpc.service"), " ", text("rpc.method"), " ",
                           nostd::get<int32_t>(point.attributes.at(
                               "rpc.grpc.status_code")))] = {
              data.count_, nostd::get<double>(data.sum_)};
        }
      }
    }
    return true;
  });
  return all;
}

class OpenTelemetryDurationsTest : public testing::FrontAndLeaf {
 protected:
  ~OpenTelemetryDurationsTest() override { Stop(); }
};

TEST_F(OpenTelemetryDurationsTest, EachRpcIsRecordedOnBothSides) {
  const auto reader = std::make_shared<Reader>();
  auto provider = std::make_shared<sdk::MeterProvider>();
  provider->AddMetricReader(reader);
  at_leaf_ = [](grpc::ServerContext&) {
    absl::SleepFor(absl::Milliseconds(20));
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
  };
  Start();
  Call(kGiveUp);  // before, so it isn't recorded
  RecordOpenTelemetryDurations(
      nostd::shared_ptr<opentelemetry::metrics::MeterProvider>(provider));
  EXPECT_TRUE(Collect(*reader).empty());
  for (int i = 0; i < 3; ++i) CallLeaf(Background());
  at_leaf_ = [](grpc::ServerContext&) { return grpc::Status::OK; };
  EXPECT_TRUE(Call(kGiveUp).first.ok());
  const auto points = Collect(*reader);
  ASSERT_EQ(points.size(), 4u);
  for (const char* side : {"server", "client"}) {
    const std::string name =
        absl::StrCat("rpc.", side, ".duration ms tether.testing.Probe Unary ");
    ASSERT_EQ(points.count(name + "5"), 1u) << name;
    EXPECT_EQ(points.at(name + "5").count, 3u);
    EXPECT_GE(points.at(name + "5").sum, 60);
    EXPECT_LT(points.at(name + "5").sum, 20'000);
    ASSERT_EQ(points.count(name + "0"), 1u) << name;
    EXPECT_EQ(points.at(name + "0").count, 2u);  // the front's, and the leaf's
  }
}

}  // namespace
}  // namespace tether
