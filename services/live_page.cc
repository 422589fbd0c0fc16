// SPDX-License-Identifier: Apache-2.0
//
// Gives a service's program a status page. A library of its own, since the page
// needs packages that the other programs don't.

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "services/serve.h"
#include "tether/observability/prometheus.h"
#include "tether/observability/status_page.h"

namespace shop {
namespace {

std::string StartPage() {
  tether::StatusPageOptions options;
  options.metrics = [] { return tether::PrometheusText(); };
  auto page = tether::StatusPage::Start(std::move(options));
  if (!page.ok()) {
    std::cerr << "ERROR: " << page.status().message() << std::endl;
    return "";
  }
  // Serves until the process exits.
  static const std::unique_ptr<tether::StatusPage> kept = *std::move(page);
  return "http://" + kept->address() + "/";
}

[[maybe_unused]] const bool is_set = (SetLivePage(&StartPage), true);

}  // namespace
}  // namespace shop
