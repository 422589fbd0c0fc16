// SPDX-License-Identifier: Apache-2.0
//
// Values: a request's context carries its data, which a typed key finds.

#include <cstdio>
#include <string>

#include "tether/context.h"

// A key is identified by its address, so no other part of the program can
// collide with it. Its value is a std::string, without a cast.
inline constexpr tether::Key<std::string> kTraceId{"trace_id"};

void Process(const tether::Context& ctx) {
  if (const std::string* trace_id = ctx.Value(kTraceId)) {
    std::printf("process over. trace_id=%s\n", trace_id->c_str());
  } else {
    std::printf("process over. no trace_id\n");
  }
}

int main() {
  const tether::Context ctx = tether::Background();
  Process(ctx);
  Process(tether::WithValue(ctx, kTraceId, "qcrao-2019"));
}
