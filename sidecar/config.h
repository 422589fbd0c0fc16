// SPDX-License-Identifier: Apache-2.0
//
// Reads the configuration of a sidecar: the text format of
// tether.v1.SidecarConfig (proto/tether/v1/sidecar.proto).

#ifndef TETHER_SIDECAR_CONFIG_H_
#define TETHER_SIDECAR_CONFIG_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sidecar/options.h"

namespace tether::sidecar {

// Reads `text`, and the files that it names. `file` is what errors call it.
//
// INVALID_ARGUMENT: something is wrong. The message has a line for each error,
// up to twenty, in the order of the file:
//
//   sidecar.textproto:12:7: egress[1].listen: "orders" has no port; write …
//
// A text that isn't in the format ends the search, so errors after that aren't
// found. Any text is safe; one of more than 1 MiB is an error.
//
// Thread safety: any thread.
absl::StatusOr<SidecarOptions> ParseConfig(std::string_view text,
                                           std::string_view file);

// ParseConfig of the file's content. INVALID_ARGUMENT, too, if the file can't
// be read.
absl::StatusOr<SidecarOptions> LoadConfig(const std::string& path);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONFIG_H_
