// The demo's result for a terminal.

#ifndef SHOP_SERVICES_DEMO_WATERFALL_H_
#define SHOP_SERVICES_DEMO_WATERFALL_H_

#include <string>

#include "services/demo/story.h"

namespace shop {

// A line about the request, and its timeline as tether::ExplainTimeline draws
// it: the hops on one axis of time. With colours of a terminal only if `color`.
std::string Waterfall(const DemoStory& story, bool color);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_WATERFALL_H_
