// SPDX-License-Identifier: Apache-2.0
//
// x-request-id: an id is read unchanged or rejected, and sent on unchanged.
// Each line of the input is a header.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/request_id.h"

namespace tether::fuzz {
namespace {

constexpr size_t kMaxBytes = 32;

bool IsLegal(std::string_view id) {
  if (id.empty() || id.size() > kMaxBytes) return false;
  for (const char c : id) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

void Run(std::string_view text) {
  RequestIdOptions options;
  options.max_bytes = kMaxBytes;
  const RequestIdPropagator propagator(options);

  MapCarrier incoming;
  const std::vector<std::string_view> ids = Lines(text);
  for (const std::string_view id : ids) incoming.Add(kRequestIdHeader, id);
  const Context ctx = propagator.Extract(incoming, Background());
  const std::string* taken = RequestIdOf(ctx);
  // Identical copies count as one.
  const bool is_one = ids.size() <= 16 && std::all_of(ids.begin(), ids.end(),
                                                      [&](std::string_view id) {
                                                        return id == ids[0];
                                                      });
  const bool legal = is_one && IsLegal(ids[0]);
  FUZZ_CHECK((taken != nullptr) == legal);
  FUZZ_CHECK(propagator.Dropped() == (legal ? 0 : 1));

  MapCarrier outgoing;
  propagator.Inject(ctx, outgoing);
  FUZZ_CHECK(outgoing.Get(kRequestIdHeader).has_value() == legal);
  if (legal) {
    FUZZ_CHECK(*taken == ids[0]);
    FUZZ_CHECK(*outgoing.Get(kRequestIdHeader) == ids[0]);
  }

  // An id set by the application is checked by the same rules.
  MapCarrier own;
  propagator.Inject(WithRequestId(Background(), std::string(text)), own);
  FUZZ_CHECK(own.Get(kRequestIdHeader).has_value() == IsLegal(text));
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
