// SPDX-License-Identifier: Apache-2.0

#include "sidecar/sidecar_figures.h"

#include "sidecar/correlator.h"
#include "sidecar/counters.h"
#include "sidecar/options.h"

namespace tether::sidecar {
namespace {

const char* NameOf(Mode mode) {
  switch (mode) {
    case Mode::kObserve:
      return "observe";
    case Mode::kDeadline:
      return "deadline";
    case Mode::kFull:
      return "full";
  }
  return "";
}

}  // namespace

SidecarFigures FiguresOf(const Sidecar& sidecar) {
  const CounterValues counters = sidecar.counters();
  const Correlator::Stats table = sidecar.correlator_stats();
  SidecarFigures figures;
  figures.requests = counters[Count::kRequests];
  figures.calls = counters[Count::kCalls];
  figures.dead_on_arrival = counters[Count::kDeadOnArrival];
  figures.over_limit = counters[Count::kOverLimit];
  figures.app_unreachable = counters[Count::kAppUnreachable];
  figures.by_id = table.by_id;
  figures.by_trace = table.by_trace;
  figures.by_request_id = table.by_request_id;
  figures.none = table.none;
  figures.late = table.late;
  figures.refused = table.refused;
  figures.not_correlated = counters[Count::kNotCorrelated];
  figures.cut = counters[Count::kCut];
  figures.would_cut = sidecar.would_cut();
  figures.alive = table.alive;
  figures.tombstones = table.tombstones;
  figures.overflowed = table.overflowed;
  figures.foreign = table.foreign;
  figures.in_flight_ingress = sidecar.ingress_in_flight();
  figures.in_flight_egress = sidecar.egress_in_flight();
  figures.access_log_dropped = sidecar.access_log_dropped();
  figures.connects = sidecar.connects();
  figures.connects_refused = sidecar.connects_refused();
  figures.mode = NameOf(sidecar.mode());
  return figures;
}

}  // namespace tether::sidecar
