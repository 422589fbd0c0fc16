// SPDX-License-Identifier: Apache-2.0
//
// The table of metrics: the names follow the conventions, and each figure is
// where its row says.

#include "tether/observability/metric_table.h"

#include <grpcpp/support/status.h>

#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/inspect.h"
#include "tether/observability/metrics.h"
#include "tether/observability/testing/sample_metrics.h"

namespace tether {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kCalled;
using testing::kServed;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::string Text(std::string_view text) { return std::string(text); }

// "GetOrder OK": the values of the labels.
std::string Key(const MetricLabels& labels) {
  return absl::StrJoin(labels, " ", [](std::string* out, const auto& label) {
    absl::StrAppend(out, label.second);
  });
}

// What a row passes on, by the values of the labels. Fails on labels that the
// row doesn't name, and on labels that come twice.
struct Passed {
  std::map<std::string, double> values;
  std::map<std::string, DurationHistogram> histograms;
};

Passed Visit(const MetricRow& row, const MetricValues& values) {
  Passed passed;
  const auto check = [&](const MetricLabels& labels) {
    const std::string names =
        absl::StrJoin(labels, ", ", [](std::string* out, const auto& label) {
          absl::StrAppend(out, Text(label.first));
        });
    EXPECT_EQ(names, row.labels) << row.prometheus_name;
  };
  MetricSink sink;
  sink.value = [&](const MetricLabels& labels, double value) {
    check(labels);
    EXPECT_TRUE(passed.values.emplace(Key(labels), value).second)
        << row.prometheus_name << " passes " << Key(labels) << " twice";
  };
  sink.histogram = [&](const MetricLabels& labels,
                       const DurationHistogram& histogram) {
    check(labels);
    EXPECT_TRUE(passed.histograms.emplace(Key(labels), histogram).second)
        << row.prometheus_name << " passes " << Key(labels) << " twice";
  };
  row.visit(values, sink);
  return passed;
}

std::map<std::string, double> Values(std::string_view name,
                                     const MetricValues& values) {
  for (const MetricRow& row : MetricTable()) {
    if (row.prometheus_name == name) return Visit(row, values).values;
  }
  ADD_FAILURE() << "no metric is called " << name;
  return {};
}

// The names of the series that Prometheus makes of a metric, in the text format
// and in OpenMetrics.
std::vector<std::string> SeriesOf(const MetricRow& row) {
  const std::string name = Text(row.prometheus_name);
  if (row.type == MetricType::kHistogram) {
    return {name, name + "_bucket", name + "_count", name + "_sum"};
  }
  if (row.type == MetricType::kGauge) return {name};
  return {name, std::string(absl::StripSuffix(name, "_total"))};
}

// The name that exporters from OpenTelemetry to Prometheus make:
// https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
std::string PrometheusNameOf(const MetricRow& row) {
  std::string name =
      absl::StrReplaceAll(Text(row.opentelemetry_name), {{".", "_"}});
  if (row.unit == "s") name += "_seconds";
  if (row.unit == "By") name += "_bytes";
  if (row.type == MetricType::kCounter) name += "_total";
  return name;
}

TEST(MetricTableTest, NamesFollowTheRulesOfPrometheus) {
  const std::regex rule("tether_[a-z_][a-z0-9_]*");
  ASSERT_GT(MetricTable().size(), 30u);
  for (const MetricRow& row : MetricTable()) {
    const std::string name = Text(row.prometheus_name);
    EXPECT_TRUE(std::regex_match(name, rule)) << name;
    EXPECT_EQ(absl::EndsWith(name, "_total"), row.type == MetricType::kCounter)
        << name;
    // Base units.
    EXPECT_EQ(absl::StrContains(name, "_seconds"), row.unit == "s") << name;
    EXPECT_EQ(absl::StrContains(name, "_bytes"), row.unit == "By") << name;
    EXPECT_TRUE(row.type != MetricType::kHistogram || row.unit == "s") << name;
  }
}

TEST(MetricTableTest, NoTwoMetricsShareASeries) {
  std::set<std::string> series;
  std::set<std::string_view> opentelemetry;
  for (const MetricRow& row : MetricTable()) {
    for (const std::string& name : SeriesOf(row)) {
      EXPECT_TRUE(series.insert(name).second) << name;
    }
    EXPECT_TRUE(opentelemetry.insert(row.opentelemetry_name).second)
        << row.opentelemetry_name;
  }
}

TEST(MetricTableTest, OpenTelemetrysNamesBecomeThoseOfPrometheus) {
  for (const MetricRow& row : MetricTable()) {
    EXPECT_EQ(PrometheusNameOf(row), row.prometheus_name);
  }
}

TEST(MetricTableTest, EachMetricHasAUnitAndOneSentence) {
  const std::regex unit("s|By|\\{[a-z]+\\}");
  const std::regex sentence("[A-Z][^.\n|]*\\.");
  for (const MetricRow& row : MetricTable()) {
    EXPECT_TRUE(std::regex_match(Text(row.unit), unit)) << row.unit;
    EXPECT_TRUE(std::regex_match(Text(row.help), sentence)) << row.help;
  }
}

TEST(MetricTableTest, EachRowPassesValuesOfItsTypeUnderItsLabels) {
  const MetricValues values = testing::SampleMetrics();
  for (const MetricRow& row : MetricTable()) {
    const Passed passed = Visit(row, values);  // checks the labels
    const bool is_histogram = row.type == MetricType::kHistogram;
    EXPECT_EQ(passed.values.empty(), is_histogram) << row.prometheus_name;
    EXPECT_EQ(passed.histograms.empty(), !is_histogram) << row.prometheus_name;
  }
}

TEST(MetricTableTest, EachNumberIsWhereItsRowSays) {
  const MetricValues values = testing::SampleMetrics();
  std::vector<std::string> lines;
  for (const MetricRow& row : MetricTable()) {
    for (const auto& [key, value] : Visit(row, values).values) {
      lines.push_back(absl::StrCat(
          absl::StripPrefix(Text(row.prometheus_name), "tether_"), " ",
          absl::StrReplaceAll(key, {{kServed, "S"}, {kCalled, "C"}}), " ",
          value));
    }
  }
  EXPECT_THAT(
      lines,
      ElementsAre(
          "server_requests_total S CANCELLED caller_left 103",
          "server_requests_total S DEADLINE_EXCEEDED "
          "inherited_deadline 102",
          "server_requests_total S OK completed 101",
          "server_requests_in_flight S 5", "server_requests_in_flight other 0",
          "server_requests_in_flight_ended S 2",
          "server_requests_in_flight_ended other 0",
          "server_requests_without_deadline_total S 104",
          "server_requests_unlimited_total S 114",
          "server_requests_without_trace_total S 105",
          "server_deadlines_changed_total S default_timeout "
          "106",
          "server_deadlines_changed_total S max_timeout 107",
          "server_requests_shed_total S 108", "server_watches_total S 109",
          "server_deaf_requests_total S 110",
          "server_deaf_longest_seconds S 1.5",
          "server_requests_not_observed_total S 111",
          "server_calls_without_context_total S C 112",
          "server_later_deadlines_total S 113",
          "client_calls_total C OK none 201",
          "client_calls_total C UNAVAILABLE connection_lost "
          "202",
          "client_calls_in_flight C 11", "client_calls_in_flight other 0",
          "client_calls_not_sent_total C 203",
          "client_calls_without_deadline_total C 204",
          "client_background_calls_total C 205",
          "dropped_headers_total oversized 308",
          "dropped_headers_total packed 307",
          "dropped_headers_total report 306",
          "dropped_headers_total timeout 305", "exceptions_total callback 314",
          "exceptions_total hook 309", "contexts_not_found_total  310",
          "server_rpcs  302", "client_rpcs  303", "watches  304",
          "contexts  311", "callbacks  312", "timers  313",
          "metrics_methods  315", "metrics_memory_bytes  316",
          "metrics_counted_seconds  301"));
}

TEST(MetricTableTest, EachHistogramIsWhereItsRowSays) {
  const MetricValues values = testing::SampleMetrics();
  std::map<std::string, double> sums;
  for (const MetricRow& row : MetricTable()) {
    for (const auto& [key, histogram] : Visit(row, values).histograms) {
      EXPECT_EQ(key,
                absl::StartsWith(Text(row.prometheus_name), "tether_server_")
                    ? kServed
                    : kCalled);
      sums[Text(row.prometheus_name)] = histogram.sum_seconds;
    }
  }
  EXPECT_THAT(sums,
              UnorderedElementsAre(
                  Pair("tether_server_time_left_on_arrival_seconds", 3.55),
                  Pair("tether_server_service_time_seconds", 0.00021),
                  Pair("tether_server_time_left_at_end_seconds", 0.1),
                  Pair("tether_server_worked_after_end_seconds", 0.75),
                  Pair("tether_client_call_duration_seconds", 150.02),
                  Pair("tether_client_time_left_seconds", 4),
                  Pair("tether_client_grpc_timeout_drift_seconds", 0.0005)));
}

TEST(MetricTableTest, HostileNamesArePrintableAndStayDifferent) {
  MetricValues values;
  values.metrics.servers["/a\x01"].watches = 1;
  values.metrics.servers["/a\x02"].watches = 2;
  values.metrics.servers["/a?"].watches = 3;
  values.metrics.servers["/a\\x01"].watches = 4;
  values.metrics.servers["/\"}\n1\xc3\xa4"].watches = 5;
  EXPECT_THAT(Values("tether_server_watches_total", values),
              UnorderedElementsAre(Pair("/a\\x01", 1), Pair("/a\\x02", 2),
                                   Pair("/a?", 3), Pair("/a\\\\x01", 4),
                                   Pair("/\\\"}\\n1\\xc3\\xa4", 5)));
}

TEST(MetricTableTest, UndefinedCodesCountAsUnknown) {
  MetricValues values;
  values.metrics.clients["/a"].outcomes = {
      {static_cast<grpc::StatusCode>(17), EndReason::kNone, 1},
      {static_cast<grpc::StatusCode>(-5), EndReason::kNone, 2},
      {grpc::StatusCode::UNKNOWN, EndReason::kNone, 4},
      {grpc::StatusCode::UNKNOWN, EndReason::kOwnTimeout, 8},
      {grpc::StatusCode::UNKNOWN, static_cast<EndReason>(99), 16}};
  EXPECT_THAT(Values("tether_client_calls_total", values),
              UnorderedElementsAre(Pair("/a UNKNOWN none", 7),
                                   Pair("/a UNKNOWN own_timeout", 8),
                                   Pair("/a UNKNOWN unknown", 16)));
}

// Strangers choose the names of methods.
TEST(MetricTableTest, WhatIsInFlightHasNoOtherMethodsThanTheFigures) {
  MetricValues values;
  values.metrics.servers["/served"];
  values.metrics.servers["/idle"];
  values.metrics.clients["/called"];
  for (int i = 0; i < 100; ++i) {
    InFlightRequest request;
    request.method = absl::StrCat("/stranger", i);
    request.ended_by = i < 30 ? EndReason::kCallerLeft : EndReason::kNone;
    InFlightCall call;
    call.method = i < 10 ? "/called" : request.method;
    request.waits_for.push_back(call);
    values.in_flight.requests.push_back(request);
    values.in_flight.other_calls.push_back(call);
  }
  values.in_flight.requests[0].method = "/served";
  // More than are listed: here, they begin at this moment.
  values.in_flight.requests_in_flight = 150;
  values.in_flight.calls_in_flight = 250;
  EXPECT_THAT(
      Values("tether_server_requests_in_flight", values),
      ElementsAre(Pair("/idle", 0), Pair("/served", 1), Pair("other", 99)));
  EXPECT_THAT(
      Values("tether_server_requests_in_flight_ended", values),
      ElementsAre(Pair("/idle", 0), Pair("/served", 1), Pair("other", 29)));
  EXPECT_THAT(Values("tether_client_calls_in_flight", values),
              ElementsAre(Pair("/called", 20), Pair("other", 180)));
}

TEST(MetricTableTest, WhatIsInFlightBeyondTheLimitCountsAsOther) {
  MetricValues values;
  values.metrics.servers["/served"];
  InFlightRequest request;
  request.method = "/served";
  values.in_flight.requests.assign(kMostInFlight, request);
  values.in_flight.requests_in_flight = kMostInFlight + 7;
  values.in_flight.calls_in_flight = 8;
  EXPECT_THAT(Values("tether_server_requests_in_flight", values),
              ElementsAre(Pair("/served", kMostInFlight), Pair("other", 7)));
  EXPECT_THAT(Values("tether_client_calls_in_flight", values),
              ElementsAre(Pair("other", 8)));
}

TEST(MetricTableTest, CalleesAreBoundedAndNoCounterFalls) {
  MetricValues values;
  auto& callees = values.metrics.servers["/s"].calls_without_context;
  callees["other"] = 1;
  std::map<std::string, double> before;
  // The name of each second one comes before all others.
  for (int i = 0; i < 60; ++i) {
    callees[absl::StrCat("/", i % 2 == 0 ? 500 + i : 500 - i)] = 10;
    const auto after =
        Values("tether_server_calls_without_context_total", values);
    EXPECT_LE(after.size(), 21u);
    double sum = 0;
    for (const auto& [key, value] : after) {
      sum += value;
      const auto it = before.find(key);
      EXPECT_TRUE(it == before.end() || it->second <= value) << key;
    }
    EXPECT_EQ(sum, 10 * (i + 1) + 1);
    before = after;
  }
  EXPECT_EQ(before.size(), 21u);
}

TEST(MetricTableTest, NothingIsMadeUpForAnEmptyProcess) {
  const MetricValues values;
  EXPECT_THAT(Values("tether_server_requests_total", values), IsEmpty());
  EXPECT_THAT(Values("tether_server_watches_total", values), IsEmpty());
  EXPECT_THAT(Values("tether_metrics_counted_seconds", values),
              ElementsAre(Pair("", 0)));
}

TEST(MetricTableTest, ReadMetricValuesSeesWhatIsAlive) {
  const auto contexts = [] {
    return Values("tether_contexts", ReadMetricValues())[""];
  };
  const double before = contexts();
  {
    auto [ctx, cancel] = WithCancel(Background());
    EXPECT_EQ(contexts(), before + 1);
  }
  EXPECT_EQ(contexts(), before);
}

}  // namespace
}  // namespace tether
