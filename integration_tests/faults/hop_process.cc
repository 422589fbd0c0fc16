// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/hop_process.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tether/context.h"
#include "tether/testing/give_up.h"

namespace tether::faults {

int EntriesOf(pid_t pid, const std::string& what) {
  DIR* const folder = opendir(absl::StrCat("/proc/", pid, "/", what).c_str());
  if (folder == nullptr) return -1;
  int count = 0;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(folder);
  return count;
}

std::string ToString(const HopCounts& counts) {
  return absl::StrCat(
      counts.entered, " entered, ", counts.answered, " answered, ",
      counts.active, " active, ", counts.server_calls, " server calls, ",
      absl::StrCat(counts.client_calls, " client calls, ", counts.watches,
                   " watches, ", counts.nodes, " contexts, ", counts.callbacks,
                   " callbacks, ", counts.timers, " timers"));
}

absl::Status HopProcess::Start() {
  ++starts_;
  process_ = std::make_unique<testing::ChildProcess>(settings_.name);
  const absl::Status started =
      process_->Start("integration_tests/faults/hop",
                      {absl::StrCat("--listen=", settings_.listen),
                       absl::StrCat("--next=", settings_.next),
                       absl::StrCat("--uid=", settings_.uid),
                       absl::StrCat("--net_namespace=", settings_.net->path())},
                      testing::ChildProcess::Input::kPipe);
  if (!started.ok()) return started;
  const auto [ctx, cancel] = WithTimeout(Background(), testing::kGiveUp);
  const auto line = process_->ReadLine(ctx);
  if (line == "ready") return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(name(), ": ", line.value_or("no output")));
}

void HopProcess::Kill() {
  process_->Kill();
  process_->Stop().IgnoreError();  // waits; an error, because it was killed
}

void HopProcess::Signal(int signal) const {
  // -1 would be every process that there is.
  if (process_->pid() > 0) kill(process_->pid(), signal);
}

std::optional<HopCounts> HopProcess::Counts() { return Ask("counts"); }

std::optional<HopCounts> HopProcess::Ask(const std::string& command) {
  if (process_ == nullptr || !process_->WriteLine(command)) {
    return std::nullopt;
  }
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(2));
  const auto line = process_->ReadLine(ctx);
  if (!line) return std::nullopt;
  std::istringstream words(*line);
  HopCounts counts;
  words >> counts.entered >> counts.answered >> counts.active >>
      counts.late_us >> counts.server_calls >> counts.client_calls >>
      counts.watches >> counts.nodes >> counts.callbacks >> counts.timers;
  if (!words) return std::nullopt;
  return counts;
}

int HopProcess::Threads() const { return EntriesOf(process_->pid(), "task"); }

int HopProcess::FileDescriptors() const {
  return EntriesOf(process_->pid(), "fd");
}

std::string HopProcess::DescribeFileDescriptors() const {
  const std::string proc = absl::StrCat("/proc/", process_->pid(), "/");
  std::map<std::string, std::string> connections;  // by inode
  for (const char* table : {"net/tcp", "net/tcp6"}) {
    std::ifstream lines(proc + table);
    for (std::string line; std::getline(lines, line);) {
      const std::vector<std::string> fields =
          absl::StrSplit(line, ' ', absl::SkipWhitespace());
      if (fields.size() > 9) connections[fields[9]] = line;
    }
  }
  std::string text;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(proc + "fd", error)) {
    const std::string target =
        std::filesystem::read_symlink(entry.path(), error).string();
    absl::StrAppend(&text, entry.path().filename().string(), ": ", target);
    // Such as "socket:[123]".
    const size_t inode = target.find('[') + 1;
    const auto found =
        connections.find(target.substr(inode, target.size() - inode - 1));
    if (inode > 0 && found != connections.end()) {
      absl::StrAppend(&text, found->second);
    }
    text += '\n';
  }
  return text;
}

uint64_t HopProcess::LimitFileDescriptors(uint64_t limit) const {
  rlimit limits = {};
  if (prlimit(process_->pid(), RLIMIT_NOFILE, nullptr, &limits) != 0) {
    std::perror("prlimit");
    std::abort();
  }
  const uint64_t before = limits.rlim_cur;
  limits.rlim_cur = limit;
  if (prlimit(process_->pid(), RLIMIT_NOFILE, &limits, nullptr) != 0) {
    std::perror("prlimit");
    std::abort();
  }
  return before;
}

// The hop does it itself: CAP_SYS_RESOURCE, which containers seldom give, is
// needed to do it for another user.
void HopProcess::LimitThreads(uint64_t limit) {
  Ask(absl::StrCat("threads ", limit));
}

}  // namespace tether::faults
