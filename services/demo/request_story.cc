// SPDX-License-Identifier: Apache-2.0

#include "services/demo/request_story.h"

#include <string>

#include "absl/time/time.h"
#include "shop/v1/demo.pb.h"
#include "tether/budget/timeline.h"

namespace shop {

void AddResult(const RequestResult& request, DemoStory* story) {
  story->started_ms = absl::ToDoubleMilliseconds(
      absl::FromChrono(request.start.time_since_epoch()));
  story->availability = request.availability;
  v1::DemoResult& result = story->result;
  result.set_status_code(request.status.raw_code());
  result.set_status_message(std::string(request.status.message()));
  result.set_elapsed_ms(absl::ToDoubleMicroseconds(absl::Floor(
                            request.elapsed, absl::Microseconds(1))) /
                        1000);
  result.set_fallback(request.stock_is_default);
  story->timeline = request.report.has_report()
                        ? tether::MakeTimeline(request.report)
                        : TimelineOfHops(*story);
}

}  // namespace shop
