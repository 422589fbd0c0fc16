// SPDX-License-Identifier: Apache-2.0
//
// Gives a sidecar's program its page over HTTP. A library of its own, since the
// page needs packages that the proxy doesn't.

#include <google/protobuf/util/json_util.h>
#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "sidecar/admin.h"
#include "sidecar/figure_table.h"
#include "sidecar/options.h"
#include "tether/observability/metric_table.h"
#include "tether/observability/prometheus.h"
#include "tether/observability/status_page.h"
#include "tether/v1/sidecar_status.pb.h"

namespace tether::sidecar {
namespace {

using Status = std::function<AdminStatus()>;

prometheus::MetricFamily FamilyOf(const FigureRow& row,
                                  const AdminStatus& status) {
  const bool is_counter = row.type == MetricType::kCounter;
  prometheus::MetricFamily family;
  family.name = std::string(row.prometheus_name);
  family.help = std::string(row.help);
  family.type = is_counter ? prometheus::MetricType::Counter
                           : prometheus::MetricType::Gauge;
  row.visit(status, [&](const MetricLabels& labels, double value) {
    prometheus::ClientMetric metric;
    for (const auto& [name, text] : labels) {
      metric.label.push_back({std::string(name), text});
    }
    (is_counter ? metric.counter.value : metric.gauge.value) = value;
    family.metric.push_back(std::move(metric));
  });
  return family;
}

std::string MetricsText(const AdminStatus& status) {
  std::vector<prometheus::MetricFamily> families;
  for (const FigureRow& row : FigureTable()) {
    prometheus::MetricFamily family = FamilyOf(row, status);
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  return absl::StrCat(prometheus::TextSerializer().Serialize(families),
                      PrometheusText());
}

StatusPageAnswer Alive() { return {200, kStatusPageText, "alive\n"}; }

StatusPageAnswer Ready(const AdminStatus& status) {
  if (status.is_ready) return {200, kStatusPageText, "ready\n"};
  return {503, kStatusPageText,
          status.is_draining ? "draining\n"
                             : "the app's port can't be connected\n"};
}

StatusPageAnswer Json(const AdminStatus& status) {
  google::protobuf::util::JsonPrintOptions options;
#if GOOGLE_PROTOBUF_VERSION >= 5026000  // Protobuf 26
  options.always_print_fields_with_no_presence = true;
#else
  options.always_print_primitive_fields = true;
#endif
  StatusPageAnswer answer{200, "application/json", ""};
  const auto converted = google::protobuf::util::MessageToJsonString(
      ToMessage(status), &answer.body, options);
  if (!converted.ok()) answer = {500, kStatusPageText, converted.ToString()};
  return answer;
}

class Page final : public AdminPage {
 public:
  explicit Page(std::unique_ptr<StatusPage> page) : page_(std::move(page)) {}
  std::string address() const override { return page_->address(); }

 private:
  const std::unique_ptr<StatusPage> page_;
};

absl::StatusOr<std::unique_ptr<AdminPage>> StartPage(const AdminOptions& admin,
                                                     Status status) {
  StatusPageOptions options;
  options.listen = admin.http_listen;
  options.allowed_hosts = admin.http_allowed_hosts;
  options.metrics = [status] { return MetricsText(status()); };
  options.more_paths = {{"/livez", Alive},
                        {"/readyz", [status] { return Ready(status()); }},
                        {"/sidecar.json", [status] { return Json(status()); }}};
  auto page = StatusPage::Start(std::move(options));
  if (!page.ok()) return page.status();
  return std::make_unique<Page>(*std::move(page));
}

[[maybe_unused]] const bool is_set = (SetAdminPage(&StartPage), true);

}  // namespace
}  // namespace tether::sidecar
