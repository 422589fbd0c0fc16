// SPDX-License-Identifier: Apache-2.0
//
// Prometheus' text and prometheus-cpp's families: they have the values of the
// table, and names from strangers don't break them.
//
// The test needs prometheus-cpp (tools/setup.sh observability), so it is
// "manual".

#include <prometheus/check_names.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tether/grpc/inspect.h"
#include "tether/observability/metric_table.h"
#include "tether/observability/metrics.h"
#include "tether/observability/prometheus.h"
#include "tether/observability/testing/sample_metrics.h"

namespace tether {
namespace {

using testing::kServed;

using Labels = std::map<std::string, std::string>;

// A parser of the text format, as strict as its specification:
// https://prometheus.io/docs/instrumenting/exposition_formats/
struct Parsed {
  std::map<std::pair<std::string, Labels>, double> series;
  std::map<std::string, std::string> types;
  std::map<std::string, std::string> helps;
};

// Removes `{a="b",c="d"}` from `line`, which begins with it.
Labels TakeLabels(std::string& line) {
  Labels labels;
  size_t at = 1;
  while (at < line.size() && line[at] != '}') {
    const size_t equals = line.find("=\"", at);
    if (equals == std::string::npos) break;
    const std::string name = line.substr(at, equals - at);
    std::string value;
    for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] != '\\') {
        value += line[at];
        continue;
      }
      ++at;
      EXPECT_TRUE(line[at] == '\\' || line[at] == '"' || line[at] == 'n')
          << line;
      value += line[at] == 'n' ? '\n' : line[at];
    }
    ++at;
    if (at < line.size() && line[at] == ',') ++at;
    EXPECT_TRUE(prometheus::CheckLabelName(name)) << name;
    EXPECT_TRUE(labels.emplace(name, value).second) << name << " twice";
  }
  EXPECT_LT(at, line.size()) << line;
  line.erase(0, at + 1);
  return labels;
}

double Number(const std::string& text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  double number = -1;
  EXPECT_TRUE(absl::SimpleAtod(text, &number)) << text;
  return number;
}

Parsed Parse(const std::string& text) {
  Parsed parsed;
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  const std::vector<std::string> lines =
      absl::StrSplit(text, '\n', absl::SkipEmpty());
  for (std::string line : lines) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 3));
    if (words[0] == "#") {
      auto& comments = words.at(1) == "TYPE" ? parsed.types : parsed.helps;
      EXPECT_TRUE(comments.emplace(words.at(2), words.at(3)).second) << line;
      continue;
    }
    const size_t end = line.find_first_of("{ ");
    const std::string name = line.substr(0, end);
    EXPECT_TRUE(prometheus::CheckMetricName(name)) << line;
    line.erase(0, end);
    Labels labels;
    if (line[0] == '{') labels = TakeLabels(line);
    EXPECT_EQ(line[0], ' ') << line;
    const double value = Number(line.substr(1));
    EXPECT_TRUE(parsed.series.emplace(std::pair(name, labels), value).second)
        << "twice: " << name;
  }
  return parsed;
}

// All values of the table, under the names that Prometheus gives them.
std::map<std::pair<std::string, Labels>, double> Expected(
    const MetricValues& values) {
  std::map<std::pair<std::string, Labels>, double> series;
  for (const MetricRow& row : MetricTable()) {
    const std::string name(row.prometheus_name);
    MetricSink sink;
    sink.value = [&](const MetricLabels& labels, double value) {
      series[{name, Labels(labels.begin(), labels.end())}] = value;
    };
    sink.histogram = [&](const MetricLabels& labels,
                         const DurationHistogram& histogram) {
      Labels all(labels.begin(), labels.end());
      series[{name + "_sum", all}] = histogram.sum_seconds;
      series[{name + "_count", all}] = static_cast<double>(histogram.count);
      double below = 0;
      for (size_t i = 0; i < histogram.buckets.size(); ++i) {
        below += static_cast<double>(histogram.buckets[i]);
        all["le"] = i < DurationHistogram::kBounds
                        ? absl::StrCat(DurationHistogram::Bounds()[i])
                        : "+Inf";
        series[{name + "_bucket", all}] = below;
      }
    };
    row.visit(values, sink);
  }
  return series;
}

TEST(PrometheusCollectableTest, TheTextHasAllValuesOfTheTable) {
  const MetricValues values = testing::SampleMetrics();
  const Parsed parsed = Parse(PrometheusTextOf(values));
  const auto expected = Expected(values);
  ASSERT_GT(expected.size(), 100u);
  EXPECT_EQ(parsed.series, expected);
  ASSERT_EQ(parsed.types.size(), MetricTable().size());
  for (const MetricRow& row : MetricTable()) {
    const std::string name(row.prometheus_name);
    EXPECT_EQ(parsed.helps.at(name), row.help);
    const std::string& type = parsed.types.at(name);
    EXPECT_EQ(type == "counter", row.type == MetricType::kCounter) << name;
    EXPECT_EQ(type == "gauge", row.type == MetricType::kGauge) << name;
    EXPECT_EQ(type == "histogram", row.type == MetricType::kHistogram) << name;
  }
}

TEST(PrometheusCollectableTest, BucketsContainThoseBeforeThem) {
  MetricValues values;
  values.metrics.servers["/a"].service_time =
      testing::HistogramOf({0, 0.0001, 0.3, 0.4, 100.5});
  const Parsed parsed = Parse(PrometheusTextOf(values));
  const auto bucket = [&](const std::string& le) {
    return parsed.series.at({"tether_server_service_time_seconds_bucket",
                             {{"method", "/a"}, {"le", le}}});
  };
  EXPECT_EQ(bucket("0"), 1);
  EXPECT_EQ(bucket("0.0001"), 2);
  EXPECT_EQ(bucket("0.2"), 2);
  EXPECT_EQ(bucket("0.5"), 4);
  EXPECT_EQ(bucket("100"), 4);
  EXPECT_EQ(bucket("+Inf"), 5);
}

TEST(PrometheusCollectableTest, LargeCountersAreExact) {
  MetricValues values;
  values.metrics.servers["/a"].watches = (uint64_t{1} << 53) - 1;
  const Parsed parsed = Parse(PrometheusTextOf(values));
  EXPECT_EQ(
      parsed.series.at({"tether_server_watches_total", {{"method", "/a"}}}),
      9007199254740991.0);
}

TEST(PrometheusCollectableTest, NamesFromStrangersAreOnlyLabels) {
  const std::vector<std::string> hostile = {
      "\"} 1\ntether_server_watches_total{method=\"/forged\"} 7\n#",
      "/a\n",
      "/a\\n",
      "/a\x80\xff",
      std::string("/a\0b", 4),
      "",
      std::string(200, '"'),
      "# TYPE tether_server_watches_total gauge"};
  MetricValues values;
  for (size_t i = 0; i < hostile.size(); ++i) {
    values.metrics.servers[hostile[i]].watches = i + 1;
    values.metrics.servers[kServed].calls_without_context[hostile[i]] = i + 1;
    InFlightRequest request;
    request.method = hostile[i];
    values.in_flight.requests.push_back(request);
  }
  const std::string text = PrometheusTextOf(values);
  for (const char c : text) EXPECT_TRUE((c >= ' ' && c <= '~') || c == '\n');
  const Parsed parsed = Parse(text);
  EXPECT_EQ(parsed.series, Expected(values));
  double sum = 0;
  for (const auto& [series, value] : parsed.series) {
    if (series.first == "tether_server_watches_total") sum += value;
  }
  EXPECT_EQ(sum, 36);  // nothing was forged
  EXPECT_EQ(parsed.types.at("tether_server_watches_total"), "counter");
}

TEST(PrometheusCollectableTest, MetricsWithoutValuesAreLeftOut) {
  const Parsed parsed = Parse(PrometheusTextOf(MetricValues()));
  EXPECT_EQ(parsed.types.count("tether_server_requests_total"), 0u);
  EXPECT_EQ(parsed.types.count("tether_contexts"), 1u);
  for (const auto& family :
       PrometheusCollectable([] { return MetricValues(); }).Collect()) {
    EXPECT_FALSE(family.metric.empty()) << family.name;
  }
}

TEST(PrometheusCollectableTest, EachCollectReadsAnew) {
  MetricValues values;
  const PrometheusCollectable collectable([&values] { return values; });
  const auto contexts = [&]() -> double {
    for (const auto& family : collectable.Collect()) {
      if (family.name == "tether_contexts") {
        EXPECT_EQ(family.type, prometheus::MetricType::Gauge);
        return family.metric.at(0).gauge.value;
      }
    }
    return -1;
  };
  EXPECT_EQ(contexts(), 0);
  values.contexts.contexts = 5;
  EXPECT_EQ(contexts(), 5);
}

TEST(PrometheusCollectableTest, WithoutArgumentsItReadsThisProcess) {
  const Parsed parsed = Parse(PrometheusText());
  EXPECT_EQ(parsed.series.count({"tether_contexts", {}}), 1u);
  EXPECT_FALSE(PrometheusCollectable().Collect().empty());
}

}  // namespace
}  // namespace tether
