// SPDX-License-Identifier: Apache-2.0
//
// Inspect()'s result as a message, for pages and services.

#ifndef TETHER_OBSERVABILITY_SNAPSHOT_H_
#define TETHER_OBSERVABILITY_SNAPSHOT_H_

#include <string>
#include <string_view>

#include "tether/export.h"
#include "tether/grpc/inspect.h"
#include "tether/v1/inspector.pb.h"

namespace tether {

// The message for `in_flight`, with the name and the id of this process. Texts
// are cleaned (CleanText).
TETHER_EXPORT v1::Snapshot ToSnapshot(const InFlight& in_flight);

// ToSnapshot of Inspect with the options of `request`. Values that are out of
// range are clamped. Any thread.
TETHER_EXPORT v1::Snapshot TakeSnapshot(const v1::ListRequest& request = {});

// Returns `text` with each byte that isn't printable ASCII replaced by '?'. A
// longer text is cut to `max_size` bytes, of which the last three are "...".
TETHER_EXPORT std::string CleanText(std::string_view text,
                                    size_t max_size = 256);

// The name of this program, without its folder.
TETHER_EXPORT std::string ProcessName();

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_SNAPSHOT_H_
