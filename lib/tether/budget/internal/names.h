// SPDX-License-Identifier: Apache-2.0
//
// Which characters the names in a report may have. Internal.

#ifndef TETHER_BUDGET_INTERNAL_NAMES_H_
#define TETHER_BUDGET_INTERNAL_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tether::internal {

// True if `text` consists of ASCII letters, digits, and . _ - /. True for "".
bool IsReportName(std::string_view text);

// Returns the last `max_bytes` of `text`. Illegal characters become _.
std::string CleanReportName(std::string_view text, size_t max_bytes);

}  // namespace tether::internal

#endif  // TETHER_BUDGET_INTERNAL_NAMES_H_
