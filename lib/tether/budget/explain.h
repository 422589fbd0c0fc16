// SPDX-License-Identifier: Apache-2.0
//
// Draws a budget report as a waterfall, for people.

#ifndef TETHER_BUDGET_EXPLAIN_H_
#define TETHER_BUDGET_EXPLAIN_H_

#include <string>

#include "tether/budget/timeline.h"
#include "tether/export.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

struct ExplainOptions {
  // If true, the text uses terminal colours.
  bool color = false;

  // If true, the notes contain the address of each call's server. Otherwise
  // only if a hop called the same method at several addresses.
  bool addresses = false;
};

// Returns a line of titles, a line for each call, followed by the calls that
// its hop made, and a legend. UTF-8. Every line ends with a line break. Lines
// fit 100 characters if the last column, the outcome, is a status and little
// more; notes about the call follow it.
//
//   hop                       0 ms                    200.1 ms  time left ...
//   storefront.GetOrderPage   █▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█   199.6 ms ...
//     orders.GetOrder          █▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█    197.5 ms ...
//       inventory.GetStock       ???????????????????????????     187.1 ms ...
//
// For an empty report, it says that there is no report.
//
// Accepts any report, even one made by hand: times are clamped, names are
// cleaned, and the size of the text is bounded as for MakeTimeline.
//
// Thread safety: any thread.
TETHER_EXPORT std::string Explain(const v1::CallReport& call,
                                  const ExplainOptions& options = {});

// Does the same for rows from another source. Requires that their names and
// texts are safe for a terminal, as MakeTimeline's are.
TETHER_EXPORT std::string ExplainTimeline(const Timeline& timeline,
                                          const ExplainOptions& options = {});

}  // namespace tether

#endif  // TETHER_BUDGET_EXPLAIN_H_
