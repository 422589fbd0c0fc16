// The budget report as a waterfall for people.

#ifndef TETHER_BUDGET_EXPLAIN_H_
#define TETHER_BUDGET_EXPLAIN_H_

#include <string>

#include "tether/budget/timeline.h"
#include "tether/export.h"
#include "tether/v1/budget_report.pb.h"

namespace tether {

struct ExplainOptions {
  // With the colours of a terminal.
  bool color = false;
};

// A line of titles; a line for each call, with those that its hop made below
// it; and a line that says what the bars are made of. UTF-8. Every line ends
// with a line break. The last column, the outcome, has room for a status and a
// bit within 100 characters; what else there is to say of a call follows it.
//
//   hop                       0 ms                    200.1 ms  time left ...
//   storefront.GetOrderPage   █▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█   199.6 ms ...
//     orders.GetOrder          █▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█    197.5 ms ...
//       inventory.GetStock       ???????????????????????????     187.1 ms ...
//
// Of an empty report it says that nothing was told.
//
// Any report will do, one that was made by hand included: what doesn't fit is
// clamped, names are cleaned, and the text's size is bounded, as MakeTimeline
// says.
//
// Thread safety: any thread.
TETHER_EXPORT std::string Explain(const v1::CallReport& call,
                                  const ExplainOptions& options = {});

// The same for rows that come from elsewhere. Requires that their names and
// texts are fit for a terminal, as those of MakeTimeline are.
TETHER_EXPORT std::string ExplainTimeline(const Timeline& timeline,
                                          const ExplainOptions& options = {});

}  // namespace tether

#endif  // TETHER_BUDGET_EXPLAIN_H_
