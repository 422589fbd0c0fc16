// What the demo tells of its one request.

#ifndef SHOP_SERVICES_DEMO_STORY_H_
#define SHOP_SERVICES_DEMO_STORY_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "shop/v1/demo.pb.h"
#include "tether/budget/timeline.h"

namespace shop {

// What was asked for, and what became of it.
struct DemoStory {
  std::string order_id;
  absl::Duration deadline;
  absl::Duration inventory_timeout;
  std::optional<absl::Duration> cancel_after;
  bool track = false;
  int expected_hops = 3;

  // On the clock of HopEvent.started_ms.
  double started_ms = 0;
  std::string availability;  // of the page
  v1::DemoResult result;

  // What is drawn: from the budget report, or from TimelineOfHops.
  tether::Timeline timeline;
};

// The rows of a request of which no report came (its client left): what each
// hop wrote down itself. All processes of the demo share a clock, so the hops
// are where they were, those that ran on after the client's end included. Any
// hops will do; they are taken for a chain, each called by the one before.
tether::Timeline TimelineOfHops(const DemoStory& story);

// The outcome as the client saw it: "ok", "deadline exceeded".
std::string OutcomeOf(const v1::DemoResult& result);

// One plain sentence on what happened.
std::string Sentence(const DemoStory& story);

// What the status says of who used the time up; empty where the time did not
// run out.
std::string Blame(const DemoStory& story);

// "12.3 ms"; "12.3 s" from ten seconds on.
std::string FormatMs(double ms);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_STORY_H_
