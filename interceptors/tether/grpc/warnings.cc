// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/warnings.h"

#include <atomic>
#include <cstdio>
#include <string>

#include "tether/grpc/internal/counters.h"
#include "tether/grpc/internal/warn.h"
#include "tether/internal/exceptions.h"

namespace tether {
namespace {

void WriteToStderr(std::string_view message) {
  // One call, so that lines of several threads don't mix.
  std::fprintf(stderr, "tether: %s\n", std::string(message).c_str());
}

std::atomic<WarningHandler> warning_handler{&WriteToStderr};

}  // namespace

void SetWarningHandler(WarningHandler handler) { warning_handler = handler; }

void internal::Warn(std::string_view message) noexcept {
  const WarningHandler handler = warning_handler;
  if (handler == nullptr) return;
  TETHER_TRY { handler(message); }
  TETHER_CATCH(...) { CountEvent(RpcEvent::kException); }
}

}  // namespace tether
