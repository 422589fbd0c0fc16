// SPDX-License-Identifier: Apache-2.0
//
// The names and meanings of the sidecar's own metrics, and its figures as a
// message. docs/sidecar.md has the same table.

#ifndef TETHER_SIDECAR_FIGURE_TABLE_H_
#define TETHER_SIDECAR_FIGURE_TABLE_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sidecar/figures.h"
#include "tether/observability/metric_table.h"
#include "tether/v1/sidecar_status.pb.h"

namespace tether::sidecar {

struct AdminStatus {
  SidecarFigures figures;
  bool is_ready = false;
  bool is_draining = false;
};

// Receives the values of one metric. No set of labels comes twice, and values
// of labels are printable ASCII.
using FigureSink = std::function<void(const MetricLabels&, double)>;

struct FigureRow {
  std::string_view prometheus_name;
  MetricType type;          // not kHistogram
  std::string_view labels;  // their names, separated by ", "
  std::string_view help;    // one sentence
  void (*visit)(const AdminStatus&, const FigureSink&);
};

// In the order in which they are shown.
const std::vector<FigureRow>& FigureTable();

v1::SidecarStatus ToMessage(const AdminStatus& status);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_FIGURE_TABLE_H_
