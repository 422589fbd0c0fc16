// SPDX-License-Identifier: Apache-2.0
//
// How tether tells a program about a mistake in its set-up, such as a handler
// without a context because tether isn't installed on the server.

#ifndef TETHER_GRPC_WARNINGS_H_
#define TETHER_GRPC_WARNINGS_H_

#include <string_view>

#include "tether/export.h"

namespace tether {

// Gets one line without a newline. Called on the thread that notices the
// mistake, which may serve a request, and possibly by several threads at once.
// An exception is swallowed and counted (GrpcStats::exceptions).
using WarningHandler = void (*)(std::string_view message);

// Replaces the handler, which writes to stderr by default. Null: no warnings.
// Each kind of mistake is told only once in a process, so set the handler
// before the first server starts. Any thread.
//
//   tether::SetWarningHandler([](std::string_view message) {
//     LOG(WARNING) << message;
//   });
TETHER_EXPORT void SetWarningHandler(WarningHandler handler);

}  // namespace tether

#endif  // TETHER_GRPC_WARNINGS_H_
