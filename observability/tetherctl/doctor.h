// SPDX-License-Identifier: Apache-2.0
//
// What tetherctl doctor prints.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_DOCTOR_H_
#define TETHER_OBSERVABILITY_TETHERCTL_DOCTOR_H_

#include <string>

#include "tetherctl/ctl.pb.h"

namespace tether::ctl {

// The findings of all processes, with a paragraph for each process: the
// processes with the most urgent finding first, and in them the most urgent
// finding first. Then the processes that didn't answer, and a summary. Lines
// have at most `width` columns, except words that are longer. Ends with a
// newline.
std::string FormatDiagnoses(const Diagnoses& diagnoses, int width);

// The exit code: 2 if a process didn't answer, otherwise 1 if there is a
// warning, otherwise 0. What is only for information needs no fix.
int ExitCodeOf(const Diagnoses& diagnoses);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_DOCTOR_H_
