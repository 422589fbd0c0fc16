// SPDX-License-Identifier: Apache-2.0
//
// A line of the access log: the copy of an entry that waits, and its JSON.
// Internal to access_log.

#ifndef TETHER_SIDECAR_ACCESS_LINE_H_
#define TETHER_SIDECAR_ACCESS_LINE_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "sidecar/access_log.h"

namespace tether::sidecar {

// A copy of an entry, with texts that are cut to what a line shows of them.
class AccessLine {
 public:
  AccessLine(const AccessEntry& entry, absl::Time time);

  // With a line break. Shorter than PIPE_BUF (4096 bytes). "" if it can't be
  // made.
  std::string ToJson() const;

 private:
  AccessEntry entry_;  // refers to text_
  absl::Time time_;
  std::unique_ptr<char[]> text_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_ACCESS_LINE_H_
