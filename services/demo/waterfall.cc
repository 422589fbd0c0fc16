// SPDX-License-Identifier: Apache-2.0

#include "services/demo/waterfall.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tether/budget/explain.h"

namespace shop {

std::string Waterfall(const DemoStory& story, bool color) {
  const v1::DemoResult& result = story.result;
  tether::ExplainOptions options;
  options.color = color;
  return absl::StrCat(
      absl::StrFormat("order %s  trace %s  deadline %s  %s in %s\n",
                      story.order_id, result.trace_id(),
                      absl::FormatDuration(story.deadline), OutcomeOf(result),
                      FormatMs(result.elapsed_ms())),
      tether::ExplainTimeline(story.timeline, options));
}

}  // namespace shop
