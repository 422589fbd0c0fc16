// SPDX-License-Identifier: Apache-2.0
//
// The demo's description of its request.

#ifndef SHOP_SERVICES_DEMO_STORY_H_
#define SHOP_SERVICES_DEMO_STORY_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "shop/v1/demo.pb.h"
#include "tether/budget/timeline.h"

namespace shop {

// The request, and its result.
struct DemoStory {
  std::string order_id;
  absl::Duration deadline;
  absl::Duration inventory_timeout;
  std::optional<absl::Duration> cancel_after;
  bool track = false;
  int expected_hops = 3;

  // On the clock of HopEvent.started_ms.
  double started_ms = 0;
  std::string availability;  // from the page
  v1::DemoResult result;

  // The drawn timeline: from the budget report, or from TimelineOfHops.
  tether::Timeline timeline;
};

// The rows of a request without a report, because its client left. They come
// from the hops' own events. All processes of the demo share a clock, so the
// positions are exact, also for hops that ran on after the client left. Accepts
// any hops, and treats them as a chain in which each hop called the next.
tether::Timeline TimelineOfHops(const DemoStory& story);

// The outcome as the client saw it: "ok", "deadline exceeded".
std::string OutcomeOf(const v1::DemoResult& result);

// One plain sentence that says what happened.
std::string Sentence(const DemoStory& story);

// The status message's list of hops that used up the time; empty if the time
// didn't run out.
std::string Blame(const DemoStory& story);

// "12.3 ms", or "12.3 s" from ten seconds on.
std::string FormatMs(double ms);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_STORY_H_
