// SPDX-License-Identifier: Apache-2.0
//
// Propagation: an id arrives as a header, is a typed value in the handler, and
// is a header again in the calls that the handler makes.
//
// The carrier here is a map. Over gRPC, tether's interceptors do the same with
// the metadata of each call, and the handler's code is the same.

#include "tether/propagation/request_id.h"

#include <cstdio>
#include <string>

#include "tether/context.h"
#include "tether/propagation/carrier.h"

// The headers that the next service would receive.
void CallNextService(const tether::Context& ctx,
                     const tether::Propagator& propagator) {
  tether::MapCarrier headers;
  propagator.Inject(ctx, headers);
  for (const auto& [key, value] : headers.map()) {
    std::printf("  sends %s: %s\n", key.c_str(), value.c_str());
  }
}

void Handle(const tether::Context& ctx, const tether::Propagator& propagator) {
  const std::string* id = tether::RequestIdOf(ctx);
  std::printf("handles request %s\n", id != nullptr ? id->c_str() : "(no id)");
  CallNextService(ctx, propagator);
}

// A server does this with each request, before the handler sees it.
void Serve(const tether::MapCarrier& headers,
           const tether::Propagator& propagator) {
  Handle(propagator.Extract(headers, tether::Background()), propagator);
}

int main() {
  const tether::RequestIdPropagator propagator;

  Serve(tether::MapCarrier{{"x-request-id", "b7c1-42"}, {"accept", "*/*"}},
        propagator);

  // Without an id, or with an id that could inject text into a log, the request
  // is still served.
  Serve(tether::MapCarrier{}, propagator);
  Serve(tether::MapCarrier{{"x-request-id", "42\nrequest 43 is fine"}},
        propagator);

  std::printf("dropped: %d\n", static_cast<int>(propagator.Dropped()));
}
