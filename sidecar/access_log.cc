// SPDX-License-Identifier: Apache-2.0

#include "sidecar/access_log.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sidecar/access_line.h"
#include "tether/internal/exceptions.h"
#include "tether/internal/mutex.h"

namespace tether::sidecar {
namespace {

using internal::CondVar;
using internal::Mutex;
using internal::MutexLock;
using SteadyClock = std::chrono::steady_clock;

// How long the first line waits for others.
constexpr std::chrono::milliseconds kBatch(20);

// For how long the destructor waits for a slow reader.
constexpr std::chrono::seconds kLastWait(1);

// Between two looks whether the log is being closed.
constexpr int kPollMs = 50;

constexpr std::string_view kStdout = "-";

// An open file.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ != STDOUT_FILENO) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::StatusOr<std::unique_ptr<File>> OpenFile(const std::string& path) {
  if (path == kStdout) return std::make_unique<File>(STDOUT_FILENO);
  // Without O_NONBLOCK, a pipe without a reader would block.
  const int fd =
      open(path.c_str(),
           O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
           S_IRUSR | S_IWUSR | S_IRGRP);
  if (fd < 0) {
    const int error = errno;
    return absl::FailedPreconditionError(absl::StrCat(
        "can't open the access log ", path, ": ",
        error == ENXIO ? "nobody reads this pipe" : std::strerror(error)));
  }
  return std::make_unique<File>(fd);
}

}  // namespace

// The buffer, the thread and the file.
class AccessLog::Writer {
 public:
  explicit Writer(std::unique_ptr<File> file) : next_file_(std::move(file)) {
    // The process's signals are for its other threads; and with SIGPIPE
    // blocked, a reader that leaves is an error like others.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { Run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Writer() {
    {
      const MutexLock lock(mutex_);
      give_up_ = SteadyClock::now() + kLastWait;
      closing_ = true;
    }
    wake_.NotifyOne();
    thread_.join();
  }

  void Add(const AccessEntry& entry) {
    AccessLine line(entry, absl::Now());
    bool wakes;
    {
      const MutexLock lock(mutex_);
      if (waiting_.size() >= kMostWaiting) {
        ++dropped_;
        return;
      }
      waiting_.push_back(std::move(line));
      wakes = waiting_.size() == 1 || waiting_.size() == kMostWaiting / 2;
    }
    if (wakes) wake_.NotifyOne();
  }

  void CountDropped() { ++dropped_; }
  int64_t dropped() const { return dropped_; }

  void SetFile(std::unique_ptr<File> file) {
    {
      const MutexLock lock(mutex_);
      next_file_ = std::move(file);
    }
    wake_.NotifyOne();
  }

 private:
  void Run();

  // Waits for lines, or for something else to do, and takes all. False: there
  // are no more.
  bool Take(std::vector<AccessLine>& lines);

  // Writes whole lines. Counts those that it can't write as dropped.
  void WriteLines(std::string_view lines);
  // False: the log is being closed, and there still is no room.
  bool AwaitRoom() const;

  std::atomic<int64_t> dropped_{0};
  std::atomic<bool> closing_{false};
  // Set before closing_.
  SteadyClock::time_point give_up_;

  Mutex mutex_;
  CondVar wake_;
  std::vector<AccessLine> waiting_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<File> next_file_ ABSL_GUARDED_BY(mutex_);

  // Of the thread.
  std::unique_ptr<File> file_;
  bool in_line_ = false;  // the last line in the file isn't whole

  std::thread thread_;
};

bool AccessLog::Writer::Take(std::vector<AccessLine>& lines) {
  const MutexLock lock(mutex_);
  while (waiting_.empty() && next_file_ == nullptr && !closing_) {
    wake_.Wait(mutex_);
  }
  const auto end = SteadyClock::now() + kBatch;
  while (!closing_ && next_file_ == nullptr &&
         waiting_.size() < kMostWaiting / 2 && SteadyClock::now() < end) {
    wake_.WaitUntil(mutex_, end);
  }
  lines.swap(waiting_);
  if (next_file_ != nullptr) {
    file_ = std::move(next_file_);
    in_line_ = false;
  }
  return !(lines.empty() && closing_);
}

void AccessLog::Writer::Run() {
  std::vector<AccessLine> lines;
  std::string chunk;
  while (Take(lines)) {
    for (const AccessLine& line : lines) {
      const std::string json = line.ToJson();
      if (json.empty()) ++dropped_;
      // A pipe takes up to PIPE_BUF bytes whole, and without blocking once it
      // has room. One byte is for a line break that is missing.
      if (chunk.size() + json.size() + 1 > PIPE_BUF) {
        WriteLines(chunk);
        chunk.clear();
      }
      chunk += json;
    }
    WriteLines(chunk);
    chunk.clear();
    lines.clear();
  }
}

bool AccessLog::Writer::AwaitRoom() const {
  pollfd file = {file_->fd(), POLLOUT, 0};
  while (true) {
    const bool gives_up = closing_ && SteadyClock::now() > give_up_;
    if (poll(&file, 1, gives_up ? 0 : kPollMs) > 0) return true;
    if (gives_up) return false;
  }
}

void AccessLog::Writer::WriteLines(std::string_view lines) {
  std::string text(in_line_ ? "\n" : "");
  text += lines;
  std::string_view rest = text;
  while (!rest.empty() && AwaitRoom()) {
    const ssize_t written = write(file_->fd(), rest.data(), rest.size());
    if (written > 0) {
      in_line_ = rest[static_cast<size_t>(written) - 1] != '\n';
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (written == 0 || (errno != EINTR && errno != EAGAIN)) {
      break;
    }
  }
  rest = rest.substr(rest.size() - std::min(rest.size(), lines.size()));
  dropped_ += std::count(rest.begin(), rest.end(), '\n');
}

AccessLog::AccessLog(const AccessLogOptions& options,
                     std::unique_ptr<Writer> writer)
    : options_(options), writer_(std::move(writer)) {}
AccessLog::~AccessLog() = default;

absl::Status AccessLog::Check(const AccessLogOptions& options) {
  const size_t slash = options.path.rfind('/');
  if (slash == std::string::npos) return absl::OkStatus();
  const std::string folder = options.path.substr(0, slash + 1);
  struct stat found;
  if (stat(folder.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("can't open the access log ", options.path,
                   ": there is no folder ", folder));
}

absl::StatusOr<std::shared_ptr<AccessLog>> AccessLog::Open(
    const AccessLogOptions& options) {
  if (!(options.sample >= 0 && options.sample <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the access log's sample must be 0 to 1, and is ", options.sample));
  }
  if (options.path.empty()) return nullptr;
  auto file = OpenFile(options.path);
  if (!file.ok()) return file.status();
  return std::shared_ptr<AccessLog>(
      new AccessLog(options, std::make_unique<Writer>(*std::move(file))));
}

bool AccessLog::Samples() const {
  if (options_.sample >= 1) return true;
  thread_local absl::InsecureBitGen random;
  return absl::Bernoulli(random, options_.sample);
}

void AccessLog::Write(const AccessEntry& entry) noexcept {
  TETHER_TRY { writer_->Add(entry); }
  TETHER_CATCH(...) { writer_->CountDropped(); }
}

absl::Status AccessLog::Reopen() {
  if (options_.path == kStdout) return absl::OkStatus();
  auto file = OpenFile(options_.path);
  if (!file.ok()) return file.status();
  writer_->SetFile(*std::move(file));
  return absl::OkStatus();
}

int64_t AccessLog::dropped() const { return writer_->dropped(); }

}  // namespace tether::sidecar
