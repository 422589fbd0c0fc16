// SPDX-License-Identifier: Apache-2.0
//
// `tetherctl top` on a terminal.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_TOP_H_
#define TETHER_OBSERVABILITY_TETHERCTL_TOP_H_

#include "observability/tetherctl/commands.h"

namespace tether::ctl {

// Shows the processes until the user quits (returns 0), or SIGINT, SIGTERM or
// SIGHUP arrives (returns 128 + its number). The terminal is restored in all
// these cases. If there is no terminal, prints an error and returns 2.
//
// Call it on the main thread, before the process has others: it blocks these
// signals, and threads that already exist would still receive them.
int RunTop(const Settings& settings);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_TOP_H_
