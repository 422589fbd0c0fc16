#include "services/demo/service_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace shop {
namespace {

// How often a wait for output looks at its context.
constexpr int kPollMilliseconds = 20;

// In the child, after fork(): nothing here but what is async-signal-safe.
[[noreturn]] void Exec(const char* program, char* const* argv, pid_t parent,
                       int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before that
  // Ctrl-C is for the demo alone: it then stops the services in good order.
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(output, STDOUT_FILENO);
  execv(program, argv);
  _exit(127);
}

}  // namespace

absl::Status ServiceProcess::Start(const std::string& program,
                                   const std::vector<std::string>& flags) {
  if (access(program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(program, " is not there"));
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
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) Exec(program.c_str(), argv.data(), parent, ends[1]);
  const int error = errno;
  close(ends[1]);
  output_ = ends[0];
  if (pid_ > 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("fork: ", strerror(error)));
}

std::optional<std::string> ServiceProcess::ReadLine(
    const tether::Context& ctx) {
  for (;;) {
    const size_t end = unread_.find('\n');
    if (end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    if (output_ < 0) return std::nullopt;
    // What is there already is read even when the context has ended.
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

void ServiceProcess::AskToStop() {
  if (pid_ > 0) kill(pid_, SIGTERM);
}

void ServiceProcess::Kill() {
  if (pid_ > 0) kill(pid_, SIGKILL);
}

absl::Status ServiceProcess::Stop() {
  AskToStop();
  // Its output ends when it does.
  auto [ctx, cancel] =
      tether::WithTimeout(tether::Background(), absl::Seconds(5));
  while (ReadLine(ctx)) {
  }
  if (output_ >= 0) close(output_);
  output_ = -1;
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

}  // namespace shop
