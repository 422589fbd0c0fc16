// SPDX-License-Identifier: Apache-2.0

#include "sidecar/figure_table.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace tether::sidecar {
namespace {

// Longer names of methods count as "other".
constexpr size_t kLongestMethod = 200;

template <int64_t SidecarFigures::*figure>
void Visit(const AdminStatus& status, const FigureSink& sink) {
  sink({}, static_cast<double>(status.figures.*figure));
}

void VisitReady(const AdminStatus& status, const FigureSink& sink) {
  sink({}, status.is_ready ? 1 : 0);
}

void VisitCalls(const AdminStatus& status, const FigureSink& sink) {
  constexpr std::pair<const char*, int64_t SidecarFigures::*> kKinds[] = {
      {"id", &SidecarFigures::by_id},
      {"trace", &SidecarFigures::by_trace},
      {"request_id", &SidecarFigures::by_request_id},
      {"none", &SidecarFigures::none},
      {"late", &SidecarFigures::late},
      {"refused", &SidecarFigures::refused},
      {"off", &SidecarFigures::not_correlated}};
  for (const auto& [kind, figure] : kKinds) {
    sink({{"correlated", kind}}, static_cast<double>(status.figures.*figure));
  }
}

// By names in printable ASCII, of bounded length. Names that differ stay
// different.
std::map<std::string, int64_t> WouldCut(const SidecarFigures& figures) {
  std::map<std::string, int64_t> counts;
  for (const auto& [method, count] : figures.would_cut) {
    counts[method.size() > kLongestMethod ? "other"
                                          : absl::CHexEscape(method)] += count;
  }
  return counts;
}

void VisitWouldCut(const AdminStatus& status, const FigureSink& sink) {
  for (const auto& [method, count] : WouldCut(status.figures)) {
    sink({{"method", method}}, static_cast<double>(count));
  }
}

void VisitInFlight(const AdminStatus& status, const FigureSink& sink) {
  const SidecarFigures& figures = status.figures;
  sink({{"side", "egress"}}, static_cast<double>(figures.in_flight_egress));
  sink({{"side", "ingress"}}, static_cast<double>(figures.in_flight_ingress));
}

void VisitMode(const AdminStatus& status, const FigureSink& sink) {
  for (const char* mode : {"observe", "deadline", "full"}) {
    sink({{"mode", mode}}, status.figures.mode == mode ? 1 : 0);
  }
}

}  // namespace

const std::vector<FigureRow>& FigureTable() {
  constexpr MetricType kCounter = MetricType::kCounter;
  constexpr MetricType kGauge = MetricType::kGauge;
  using Figures = SidecarFigures;
  static const auto& table = *new std::vector<FigureRow>{
      {"tether_sidecar_requests_total", kCounter, "", "Requests for the app.",
       Visit<&Figures::requests>},
      {"tether_sidecar_dead_on_arrival_total", kCounter, "",
       "Requests whose time was over when they came; the app isn't called.",
       Visit<&Figures::dead_on_arrival>},
      {"tether_sidecar_app_unreachable_total", kCounter, "",
       "Requests that didn't reach the app.", Visit<&Figures::app_unreachable>},
      {"tether_sidecar_over_limit_total", kCounter, "",
       "Requests and calls beyond max_in_flight.", Visit<&Figures::over_limit>},
      {"tether_sidecar_calls_total", kCounter, "correlated",
       "Calls of the app, by how their request was found, or why they have "
       "none.",
       VisitCalls},
      {"tether_sidecar_cut_total", kCounter, "",
       "Calls that were ended because their request ended.",
       Visit<&Figures::cut>},
      {"tether_sidecar_would_cut_total", kCounter, "method",
       "Calls that mode full would have ended or refused.", VisitWouldCut},
      {"tether_sidecar_overflowed_total", kCounter, "",
       "Requests that the table had no room for, so that their calls aren't "
       "found.",
       Visit<&Figures::overflowed>},
      {"tether_sidecar_foreign_total", kCounter, "",
       "Calls with an id of another process.", Visit<&Figures::foreign>},
      {"tether_sidecar_access_log_dropped_total", kCounter, "",
       "Lines of the access log that were lost.",
       Visit<&Figures::access_log_dropped>},
      {"tether_sidecar_connects_total", kCounter, "",
       "Connections of the app by way of connect_listen.",
       Visit<&Figures::connects>},
      {"tether_sidecar_connects_refused_total", kCounter, "",
       "Connections to connect_listen that asked for no target, or sent no "
       "whole CONNECT request.",
       Visit<&Figures::connects_refused>},
      {"tether_sidecar_requests", kGauge, "",
       "Requests in the table that haven't ended.", Visit<&Figures::alive>},
      {"tether_sidecar_tombstones", kGauge, "",
       "Requests in the table that have ended.", Visit<&Figures::tombstones>},
      {"tether_sidecar_in_flight", kGauge, "side",
       "Requests (ingress) and calls (egress) in flight.", VisitInFlight},
      {"tether_sidecar_mode", kGauge, "mode",
       "One for the mode that the sidecar is in, zero for the others.",
       VisitMode},
      {"tether_sidecar_ready", kGauge, "",
       "One if the app's port can be connected and the sidecar isn't draining, "
       "else zero.",
       VisitReady},
  };
  return table;
}

v1::SidecarStatus ToMessage(const AdminStatus& status) {
  const SidecarFigures& figures = status.figures;
  v1::SidecarStatus message;
  message.set_mode(figures.mode);
  message.set_ready(status.is_ready);
  message.set_draining(status.is_draining);
  message.set_requests(figures.requests);
  message.set_calls(figures.calls);
  message.set_dead_on_arrival(figures.dead_on_arrival);
  message.set_over_limit(figures.over_limit);
  message.set_app_unreachable(figures.app_unreachable);
  message.set_by_id(figures.by_id);
  message.set_by_trace(figures.by_trace);
  message.set_by_request_id(figures.by_request_id);
  message.set_none(figures.none);
  message.set_late(figures.late);
  message.set_refused(figures.refused);
  message.set_off(figures.not_correlated);
  message.set_cut(figures.cut);
  for (const auto& [method, count] : WouldCut(figures)) {
    (*message.mutable_would_cut())[method] = count;
  }
  message.set_alive(figures.alive);
  message.set_tombstones(figures.tombstones);
  message.set_overflowed(figures.overflowed);
  message.set_foreign(figures.foreign);
  message.set_in_flight_ingress(figures.in_flight_ingress);
  message.set_in_flight_egress(figures.in_flight_egress);
  message.set_access_log_dropped(figures.access_log_dropped);
  message.set_connects(figures.connects);
  message.set_connects_refused(figures.connects_refused);
  return message;
}

}  // namespace tether::sidecar
