// SPDX-License-Identifier: Apache-2.0
//
// Which characters the names and texts in a report may have. Internal.

#ifndef TETHER_BUDGET_INTERNAL_NAMES_H_
#define TETHER_BUDGET_INTERNAL_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "tether/export.h"

namespace tether::internal {

// True if `text` consists of ASCII letters, digits, and . _ - /. True for "".
bool IsReportName(std::string_view text);

// Returns the last `max_bytes` of `text`. Illegal characters become _.
std::string CleanReportName(std::string_view text, size_t max_bytes);

// Labels and addresses.
inline constexpr size_t kMaxReportTextBytes = 64;

// True if `text` is short enough and consists of the characters of names,
// blanks, and : % @ = # + [ ]. True for "".
bool IsReportText(std::string_view text);

// Returns the first kMaxReportTextBytes of `text`. Illegal characters become _.
TETHER_EXPORT std::string CleanReportText(std::string_view text);

// "[shard 2]", for the label "shard 2"; "" for "".
std::string LabelInBrackets(std::string_view label);

}  // namespace tether::internal

#endif  // TETHER_BUDGET_INTERNAL_NAMES_H_
