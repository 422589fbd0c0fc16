// What may stand in the names of a report. Internal.

#ifndef TETHER_BUDGET_INTERNAL_NAMES_H_
#define TETHER_BUDGET_INTERNAL_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tether::internal {

// Whether all of `text` is ASCII letters, digits, and . _ - /. True for "".
bool IsReportName(std::string_view text);

// The last `max_bytes` of `text`, with _ for any other character.
std::string CleanReportName(std::string_view text, size_t max_bytes);

}  // namespace tether::internal

#endif  // TETHER_BUDGET_INTERNAL_NAMES_H_
