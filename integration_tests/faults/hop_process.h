// SPDX-License-Identifier: Apache-2.0
//
// A hop's process (hop.cc), seen from the test.
//
// For tests only. Thread safety: none.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_HOP_PROCESS_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_HOP_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "integration_tests/faults/net_namespace.h"
#include "testing/child_process.h"

namespace tether::faults {

// What a hop says of itself.
struct HopCounts {
  int64_t entered = 0;   // requests whose handlers began
  int64_t answered = 0;  // requests that on_finish was told of
  int64_t active = 0;    // handlers
  // By how much a handler outlived its deadline, at most, since the last time.
  int64_t late_us = 0;
  // tether's own counters.
  int64_t server_calls = 0;
  int64_t client_calls = 0;
  int64_t watches = 0;
  int64_t nodes = 0;
  int64_t callbacks = 0;
  int64_t timers = 0;

  int64_t alive() const {
    return active + server_calls + client_calls + watches + nodes + callbacks +
           timers;
  }
};

std::string ToString(const HopCounts& counts);

class HopProcess {
 public:
  struct Settings {
    std::string name;
    const NetNamespace* net = nullptr;
    std::string listen;
    std::string next;  // "": a leaf
    int uid = 0;       // 0: the test's own
  };
  explicit HopProcess(Settings settings) : settings_(std::move(settings)) {}

  const std::string& name() const { return settings_.name; }

  // Starts the process, again if it was killed or stopped before. Returns when
  // it serves.
  absl::Status Start();
  void Kill();
  void Signal(int signal) const;
  // As another user from the next start on.
  void BecomeUser(int uid) { settings_.uid = uid; }

  // How often it was started.
  int starts() const { return starts_; }

  // nullopt if it doesn't answer within two seconds.
  std::optional<HopCounts> Counts();

  // Of the process, as the kernel lists them.
  int Threads() const;
  int FileDescriptors() const;

  // What they are, each TCP connection with the kernel's line about it. For
  // messages.
  std::string DescribeFileDescriptors() const;

  // Sets the soft limit. Returns the one before.
  uint64_t LimitFileDescriptors(uint64_t limit) const;

  // So many threads its user may have. Doesn't limit root.
  void LimitThreads(uint64_t limit);

 private:
  std::optional<HopCounts> Ask(const std::string& command);

  Settings settings_;
  std::unique_ptr<testing::ChildProcess> process_;
  int starts_ = 0;
};

// The entries of /proc/PID/`what`.
int EntriesOf(pid_t pid, const std::string& what);

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_HOP_PROCESS_H_
