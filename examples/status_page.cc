// SPDX-License-Identifier: Apache-2.0
//
// Gives a process a status page, with Prometheus' metrics.

#include "tether/observability/status_page.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "tether/observability/metrics.h"
#include "tether/observability/prometheus.h"

namespace {

// Null, and a line of the log, if the page can't be served.
std::unique_ptr<tether::StatusPage> ServePage(const char* listen) {
  tether::StatusPageOptions options;
  options.listen = listen;
  options.metrics = [] { return tether::PrometheusText(); };
  absl::StatusOr<std::unique_ptr<tether::StatusPage>> page =
      tether::StatusPage::Start(std::move(options));
  if (page.ok()) return *std::move(page);
  std::printf("no status page: %s\n", page.status().ToString().c_str());
  return nullptr;
}

}  // namespace

int main() {
  tether::StartMetrics();
  const auto page = ServePage("127.0.0.1:0");  // 127.0.0.1:8080, say
  std::printf("it is %s\n", page != nullptr ? "served" : "missing");
  ServePage("everywhere");
}
