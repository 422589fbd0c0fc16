// SPDX-License-Identifier: Apache-2.0
//
// A program that runs as a child process.

#ifndef TETHER_TESTING_CHILD_PROCESS_H_
#define TETHER_TESTING_CHILD_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tether/context.h"

namespace tether::testing {

// Runs a program, with a pipe as its standard output, until Stop() or the
// destructor. The program is killed if this process dies, or the thread that
// called Start() does.
//
// Thread safety: none.
class ChildProcess {
 public:
  // `name` is used in error messages.
  explicit ChildProcess(std::string name) : name_(std::move(name)) {}
  ~ChildProcess() { Stop().IgnoreError(); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  const std::string& name() const { return name_; }

  enum class Input : char { kInherited, kPipe };

  // Call it only once. An error if `program` isn't an executable file. With
  // Input::kPipe, its standard input is what WriteLine writes.
  absl::Status Start(const std::string& program,
                     const std::vector<std::string>& flags,
                     Input input = Input::kInherited);

  // -1 if it isn't running.
  pid_t pid() const { return pid_; }

  // Returns false if the program has ended.
  bool WriteLine(const std::string& line);

  // Returns the next line of the program's standard output, or nullopt if `ctx`
  // or the output ends first.
  std::optional<std::string> ReadLine(const Context& ctx);

  // Asks the program to stop (SIGTERM), and doesn't wait.
  void AskToStop();

  // Kills the program (SIGKILL). This simulates a power failure, except that
  // the kernel closes the program's connections. Stop() then returns an error.
  void Kill();

  // Asks the program to stop, waits until it has, and kills it after 5 s.
  // Returns an error unless it exited with code 0. Idempotent.
  absl::Status Stop();

 private:
  const std::string name_;
  pid_t pid_ = -1;      // -1: not running
  int input_ = -1;      // a socket, against SIGPIPE; -1: inherited or closed
  int output_ = -1;     // the pipe; -1: closed
  std::string unread_;  // output after the last returned line
};

}  // namespace tether::testing

#endif  // TETHER_TESTING_CHILD_PROCESS_H_
