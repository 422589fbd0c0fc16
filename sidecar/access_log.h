// SPDX-License-Identifier: Apache-2.0
//
// The sidecar's access log: one JSON object a line for requests and calls that
// are over. proto/tether/v1/access_log.proto has the format.

#ifndef TETHER_SIDECAR_ACCESS_LOG_H_
#define TETHER_SIDECAR_ACCESS_LOG_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidecar/options.h"
#include "tether/end_reason.h"

namespace tether::sidecar {

// The fields are explained in access_log.proto. Empty texts, and what is false,
// are left out of the line. Texts may come from a peer, and have any length and
// any bytes.
struct AccessEntry {
  std::string_view side;  // "ingress" or "egress"
  std::string_view method;
  std::string_view peer;
  std::string_view target;
  std::string_view trace_id;
  std::string_view request_id;
  grpc::StatusCode code = grpc::StatusCode::OK;
  EndReason reason = EndReason::kNone;
  absl::Duration spent;
  // On arrival. None, or infinite: no deadline.
  std::optional<absl::Duration> time_left;
  std::string_view correlated;
  bool cut = false;
  bool not_sent = false;
};

// Lines wait in a buffer of bounded size for a thread that writes them, so a
// slow disk or reader costs lines, and no call's time. The thread writes what
// has come within 20 ms at once.
//
// Whole lines are appended (O_APPEND), so several processes may write one file,
// and logrotate's copytruncate works, too. After an error of the file (a full
// disk), the next line begins on a new line.
//
// Thread safety: any thread.
class AccessLog {
 public:
  // Lines that wait at once; as many again are being written. Each takes 1 KiB
  // at most.
  static constexpr size_t kMostWaiting = 4096;

  // FAILED_PRECONDITION: the folder of the file doesn't exist. Looks at nothing
  // else, and creates nothing. Any thread.
  static absl::Status Check(const AccessLogOptions& options);

  // Null if options.path is "". Creates the file, for its owner and group to
  // read. A pipe must have a reader.
  //
  // INVALID_ARGUMENT: `sample` isn't from 0 to 1. FAILED_PRECONDITION: the file
  // can't be opened; the message says why.
  static absl::StatusOr<std::shared_ptr<AccessLog>> Open(
      const AccessLogOptions& options);

  // Writes what waits, for 1 s at most if the reader is slow.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Decides whether a call is logged: true for the fraction `sample` of the
  // calls of this function. Takes no lock.
  bool Samples() const;

  // Takes a line for a call that is over now. Copies the texts. Never waits for
  // the file.
  void Write(const AccessEntry& entry) noexcept;

  // Opens the file again by its name, for logrotate. Lines that wait go to the
  // new file; the old one is closed when its last line is written, soon after.
  // If the new one can't be opened, says why, and the old one stays. Does
  // nothing for standard output.
  absl::Status Reopen();

  // Lines that were lost: the buffer was full, or the file had an error.
  int64_t dropped() const;

 private:
  class Writer;
  AccessLog(const AccessLogOptions& options, std::unique_ptr<Writer> writer);

  const AccessLogOptions options_;
  const std::unique_ptr<Writer> writer_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_ACCESS_LOG_H_
