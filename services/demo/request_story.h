// SPDX-License-Identifier: Apache-2.0
//
// From a request's result to the demo's description of it.

#ifndef SHOP_SERVICES_DEMO_REQUEST_STORY_H_
#define SHOP_SERVICES_DEMO_REQUEST_STORY_H_

#include "services/demo/request.h"
#include "services/demo/story.h"

namespace shop {

// Adds what the client got, and the timeline: from the report if there is one,
// otherwise from the hops that the story already has.
void AddResult(const RequestResult& request, DemoStory* story);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_REQUEST_STORY_H_
