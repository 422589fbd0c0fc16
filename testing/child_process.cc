// SPDX-License-Identifier: Apache-2.0

#include "testing/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tether::testing {
namespace {

// How often a wait for output checks its context.
constexpr int kPollMilliseconds = 20;

// Runs in the child after fork(), so it calls async-signal-safe functions only.
[[noreturn]] void Exec(const char* program, char* const* argv, pid_t parent,
                       int input, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before prctl()
  // Ctrl-C must reach the parent only, which then stops its children in order.
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (input >= 0) dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  execv(program, argv);
  _exit(127);
}

}  // namespace

absl::Status ChildProcess::Start(const std::string& program,
                                 const std::vector<std::string>& flags,
                                 Input input) {
  if (access(program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat(program, " is not an executable file"));
  }
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(program.c_str()));
  for (const std::string& flag : flags) {
    argv.push_back(const_cast<char*>(flag.c_str()));
  }
  argv.push_back(nullptr);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::InternalError(absl::StrCat("pipe: ", strerror(errno)));
  }
  output_ = ends[0];
  int inputs[2] = {-1, -1};
  if (input == Input::kPipe &&
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inputs) != 0) {
    close(ends[1]);
    return absl::InternalError(absl::StrCat("socketpair: ", strerror(errno)));
  }
  input_ = inputs[0];
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) Exec(program.c_str(), argv.data(), parent, inputs[1], ends[1]);
  const int error = errno;
  close(ends[1]);
  if (inputs[1] >= 0) close(inputs[1]);
  if (pid_ > 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("fork: ", strerror(error)));
}

std::optional<std::string> ChildProcess::ReadLine(const Context& ctx) {
  for (;;) {
    const size_t end = unread_.find('\n');
    if (end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    if (output_ < 0) return std::nullopt;
    // Output that is already there is read even if the context has ended.
    const bool done = ctx.Done();
    pollfd wait = {output_, POLLIN, 0};
    if (poll(&wait, 1, done ? 0 : kPollMilliseconds) <= 0) {
      if (done) return std::nullopt;
      continue;
    }
    char buffer[4096];
    const ssize_t count = read(output_, buffer, sizeof(buffer));
    if (count > 0) {
      unread_.append(buffer, static_cast<size_t>(count));
    } else if (count == 0) {
      close(output_);
      output_ = -1;
    }
  }
}

bool ChildProcess::WriteLine(const std::string& line) {
  const std::string text = line + "\n";
  return send(input_, text.data(), text.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(text.size());
}

void ChildProcess::AskToStop() {
  if (pid_ > 0) kill(pid_, SIGTERM);
}

void ChildProcess::Kill() {
  if (pid_ > 0) kill(pid_, SIGKILL);
}

absl::Status ChildProcess::Stop() {
  AskToStop();
  // The output ends when the program does.
  auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(5));
  while (ReadLine(ctx)) {
  }
  if (output_ >= 0) close(output_);
  if (input_ >= 0) close(input_);
  output_ = -1;
  input_ = -1;
  if (pid_ <= 0) return absl::OkStatus();
  if (ctx.Done()) kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(
      WIFSIGNALED(status)
          ? absl::StrCat(name_, " was ended by signal ", WTERMSIG(status))
          : absl::StrCat(name_, " ended with code ", WEXITSTATUS(status)));
}

}  // namespace tether::testing
