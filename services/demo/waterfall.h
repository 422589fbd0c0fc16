// SPDX-License-Identifier: Apache-2.0
//
// The demo's result as text for a terminal.

#ifndef SHOP_SERVICES_DEMO_WATERFALL_H_
#define SHOP_SERVICES_DEMO_WATERFALL_H_

#include <string>

#include "services/demo/story.h"

namespace shop {

// A line about the request, and its timeline as tether::ExplainTimeline draws
// it: the hops on one time axis. Uses terminal colours only if `color` is set.
std::string Waterfall(const DemoStory& story, bool color);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_WATERFALL_H_
