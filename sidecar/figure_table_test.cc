// SPDX-License-Identifier: Apache-2.0
//
// The sidecar's metrics: names, and values from all figures; methods with
// hostile names; the table of docs/sidecar.md.

#include "sidecar/figure_table.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/figures.h"
#include "tether/observability/metric_table.h"
#include "tether/v1/sidecar_status.pb.h"

namespace tether::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// Each figure has a value of its own.
AdminStatus Sample() {
  AdminStatus status;
  SidecarFigures& figures = status.figures;
  int64_t value = 0;
  for (int64_t* figure : {&figures.requests,
                          &figures.calls,
                          &figures.dead_on_arrival,
                          &figures.over_limit,
                          &figures.app_unreachable,
                          &figures.by_id,
                          &figures.by_trace,
                          &figures.by_request_id,
                          &figures.none,
                          &figures.late,
                          &figures.refused,
                          &figures.not_correlated,
                          &figures.cut,
                          &figures.alive,
                          &figures.tombstones,
                          &figures.overflowed,
                          &figures.foreign,
                          &figures.in_flight_ingress,
                          &figures.in_flight_egress,
                          &figures.access_log_dropped,
                          &figures.connects,
                          &figures.connects_refused}) {
    *figure = ++value;
  }
  figures.would_cut = {{"/a.B/C", 100}};
  figures.mode = "deadline";
  status.is_ready = true;
  status.is_draining = true;
  return status;
}

// By name and labels: "tether_sidecar_in_flight{side=egress}".
std::map<std::string, double> Read(const AdminStatus& status) {
  std::map<std::string, double> values;
  for (const FigureRow& row : FigureTable()) {
    row.visit(status, [&](const MetricLabels& labels, double value) {
      std::string name(row.prometheus_name);
      for (const auto& [label, text] : labels) {
        EXPECT_EQ(label, row.labels) << name;
        name += "{" + std::string(label) + "=" + text + "}";
      }
      EXPECT_EQ(labels.empty(), row.labels.empty()) << name;
      EXPECT_TRUE(values.emplace(name, value).second) << name << " twice";
    });
  }
  return values;
}

TEST(FigureTableTest, EachFigureHasItsMetric) {
  const std::map<std::string, double> expected = {
      {"tether_sidecar_requests_total", 1},
      {"tether_sidecar_dead_on_arrival_total", 3},
      {"tether_sidecar_over_limit_total", 4},
      {"tether_sidecar_app_unreachable_total", 5},
      {"tether_sidecar_calls_total{correlated=id}", 6},
      {"tether_sidecar_calls_total{correlated=trace}", 7},
      {"tether_sidecar_calls_total{correlated=request_id}", 8},
      {"tether_sidecar_calls_total{correlated=none}", 9},
      {"tether_sidecar_calls_total{correlated=late}", 10},
      {"tether_sidecar_calls_total{correlated=refused}", 11},
      {"tether_sidecar_calls_total{correlated=off}", 12},
      {"tether_sidecar_cut_total", 13},
      {"tether_sidecar_requests", 14},
      {"tether_sidecar_tombstones", 15},
      {"tether_sidecar_overflowed_total", 16},
      {"tether_sidecar_foreign_total", 17},
      {"tether_sidecar_in_flight{side=ingress}", 18},
      {"tether_sidecar_in_flight{side=egress}", 19},
      {"tether_sidecar_access_log_dropped_total", 20},
      {"tether_sidecar_connects_total", 21},
      {"tether_sidecar_connects_refused_total", 22},
      {"tether_sidecar_would_cut_total{method=/a.B/C}", 100},
      {"tether_sidecar_mode{mode=observe}", 0},
      {"tether_sidecar_mode{mode=deadline}", 1},
      {"tether_sidecar_mode{mode=full}", 0},
      {"tether_sidecar_ready", 1}};
  EXPECT_EQ(Read(Sample()), expected);
  EXPECT_EQ(Read({})["tether_sidecar_ready"], 0);
}

TEST(FigureTableTest, NamesFollowPrometheusRules) {
  std::set<std::string_view> names;
  for (const FigureRow& row : FigureTable()) {
    EXPECT_TRUE(names.insert(row.prometheus_name).second);
    EXPECT_TRUE(
        absl::StartsWith(std::string(row.prometheus_name), "tether_sidecar_"));
    EXPECT_EQ(absl::EndsWith(std::string(row.prometheus_name), "_total"),
              row.type == MetricType::kCounter)
        << row.prometheus_name;
    EXPECT_EQ(row.help.back(), '.') << row.prometheus_name;
  }
}

TEST(FigureTableTest, HostileMethodsStayApartInPrintableAscii) {
  AdminStatus status;
  status.figures.would_cut = {{"/a\xff", 1},
                              {"/a\xfe", 2},
                              {"/a\\xff", 4},
                              {"/\"} 1\n#", 8},
                              {"other", 16},
                              {std::string(201, 'x'), 32},
                              {std::string(60'000, 'y'), 64}};
  std::map<std::string, double> would_cut;
  for (const auto& [name, value] : Read(status)) {
    for (const char c : name) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << name;
    if (absl::StrContains(name, "would_cut")) would_cut[name] = value;
  }
  const auto metric = [](std::string_view method) {
    return "tether_sidecar_would_cut_total{method=" + std::string(method) + "}";
  };
  EXPECT_THAT(
      would_cut,
      ElementsAre(Pair(metric("/\\\"} 1\\n#"), 8), Pair(metric("/a\\\\xff"), 4),
                  Pair(metric("/a\\xfe"), 2), Pair(metric("/a\\xff"), 1),
                  Pair(metric("other"), 16 + 32 + 64)));
}

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(FigureTableTest, TheDocsHaveTheTable) {
  std::string table =
      "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n";
  for (const FigureRow& row : FigureTable()) {
    const std::string labels(row.labels);
    absl::StrAppend(&table, "| `", std::string(row.prometheus_name), "` | ",
                    row.type == MetricType::kCounter ? "counter" : "gauge",
                    " | ", labels.empty() ? "" : "`" + labels + "`", " | ",
                    std::string(row.help), " |\n");
  }
  EXPECT_THAT(ReadFile("docs/sidecar.md"), HasSubstr(table));
}

TEST(FigureTableTest, TheAlertsNameMetricsOfTheTable) {
  std::set<std::string> known;
  for (const FigureRow& row : FigureTable()) {
    known.emplace(row.prometheus_name);
  }
  const std::string rules = ReadFile("docs/alerts/tether_sidecar.rules.yml");
  const std::regex metric("tether_sidecar_[a-z_]+");
  int found = 0;
  for (std::sregex_iterator it(rules.begin(), rules.end(), metric), end;
       it != end; ++it) {
    EXPECT_EQ(known.count(it->str()), 1u) << it->str();
    ++found;
  }
  EXPECT_GE(found, 4);
}

TEST(FigureTableTest, TheMessageHasEachFigure) {
  const v1::SidecarStatus message = ToMessage(Sample());
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const google::protobuf::Reflection& read = *message.GetReflection();
  std::set<int64_t> values;
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *type.field(i);
    if (field.is_repeated() ||
        field.cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      continue;
    }
    EXPECT_TRUE(values.insert(read.GetInt64(message, &field)).second)
        << field.name();
  }
  EXPECT_EQ(values.size(), 22u);
  EXPECT_EQ(*values.begin(), 1);
  EXPECT_EQ(*values.rbegin(), 22);
  EXPECT_EQ(message.by_id(), 6);
  EXPECT_EQ(message.off(), 12);
  EXPECT_EQ(message.access_log_dropped(), 20);
  EXPECT_EQ(message.would_cut().at("/a.B/C"), 100);
  EXPECT_EQ(message.mode(), "deadline");
  EXPECT_TRUE(message.ready());
  EXPECT_TRUE(message.draining());
}

}  // namespace
}  // namespace tether::sidecar
