// SPDX-License-Identifier: Apache-2.0
//
// The content of a small file.

#ifndef TETHER_SIDECAR_READ_FILE_H_
#define TETHER_SIDECAR_READ_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace tether::sidecar {

// Of a configuration, and of each file that it names.
inline constexpr size_t kMaxFileBytes = 1 << 20;

// The message of an error says why, without the path: "can't be read: No such
// file or directory". A file of more than kMaxFileBytes is an error.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_READ_FILE_H_
