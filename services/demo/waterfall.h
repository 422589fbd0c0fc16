// The demo's result for people: a waterfall of the hops on one axis of time,
// and a sentence that says what happened.

#ifndef SHOP_SERVICES_DEMO_WATERFALL_H_
#define SHOP_SERVICES_DEMO_WATERFALL_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "shop/v1/demo.pb.h"

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
};

// A line about the request, a line of titles, and a line for each hop: its name
// (indented by its depth), its bar, the time it had left on arrival, the time
// it took, and its outcome. At most 100 columns. With colours of a terminal
// only if `color`.
std::string Waterfall(const DemoStory& story, bool color);

// One plain sentence.
std::string Sentence(const DemoStory& story);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_WATERFALL_H_
