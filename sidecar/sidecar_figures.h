// SPDX-License-Identifier: Apache-2.0

#ifndef TETHER_SIDECAR_SIDECAR_FIGURES_H_
#define TETHER_SIDECAR_SIDECAR_FIGURES_H_

#include "sidecar/figures.h"
#include "sidecar/sidecar.h"

namespace tether::sidecar {

// The figures of `sidecar` now. Each is exact; together they may be of slightly
// different moments. Any thread.
SidecarFigures FiguresOf(const Sidecar& sidecar);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_SIDECAR_FIGURES_H_
