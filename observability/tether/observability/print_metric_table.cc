// SPDX-License-Identifier: Apache-2.0
//
// Prints the table of metrics in Markdown, for docs/operations.md.

#include <iostream>
#include <string_view>

#include "tether/observability/metric_table.h"

namespace tether {
namespace {

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "";
}

void PrintCode(std::string_view text) {
  if (!text.empty()) std::cout << '`' << text << '`';
}

// The labels are separated by commas.
void PrintLabels(std::string_view labels) {
  constexpr std::string_view kComma = ", ";
  while (!labels.empty()) {
    const size_t end = labels.find(kComma);
    PrintCode(labels.substr(0, end));
    if (end == std::string_view::npos) return;
    std::cout << kComma;
    labels.remove_prefix(end + kComma.size());
  }
}

void Print() {
  std::cout << "| Prometheus | OpenTelemetry | type | unit | labels | "
               "meaning |\n| --- | --- | --- | --- | --- | --- |\n";
  for (const MetricRow& row : MetricTable()) {
    std::cout << "| ";
    PrintCode(row.prometheus_name);
    std::cout << " | ";
    PrintCode(row.opentelemetry_name);
    std::cout << " | " << TypeName(row.type) << " | ";
    PrintCode(row.unit);
    std::cout << " | ";
    PrintLabels(row.labels);
    std::cout << " | " << row.help << " |\n";
  }
}

}  // namespace
}  // namespace tether

int main() { tether::Print(); }
