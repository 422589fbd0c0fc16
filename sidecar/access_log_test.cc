// SPDX-License-Identifier: Apache-2.0
//
// The sidecar's access log: its lines, names from strangers, a reader that is
// slow or gone, full disks, and logrotate.

#include "sidecar/access_log.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/options.h"
#include "testing/temp_folder.h"
#include "tether/end_reason.h"
#include "tether/testing/give_up.h"
#include "tether/v1/access_log.pb.h"

namespace tether::sidecar {
namespace {

using google::protobuf::util::JsonStringToMessage;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::kGiveUp;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

template <typename Condition>
bool Await(const Condition& condition) {
  const absl::Time give_up = absl::Now() + kGiveUp;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// A file name of this test.
std::string NewPath() {
  static const tether::testing::TempFolder folder;
  static int count = 0;
  return folder.File(absl::StrCat("access_log_", ++count));
}

std::shared_ptr<AccessLog> OpenLog(const std::string& path) {
  auto log = AccessLog::Open({path, /*sample=*/1});
  EXPECT_TRUE(log.ok()) << log.status();
  return log.ok() ? *std::move(log) : nullptr;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  EXPECT_EQ(lines.back(), "") << "the last line isn't whole";
  lines.pop_back();
  return lines;
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> ReadLines(const std::string& path) {
  return LinesOf(Read(path));
}

// Waits until `path` has `lines` lines.
bool AwaitLines(const std::string& path, int64_t lines) {
  return Await([&] {
    const std::string text = Read(path);
    return std::count(text.begin(), text.end(), '\n') == lines;
  });
}

v1::AccessLogLine Parse(const std::string& json) {
  v1::AccessLogLine line;
  const auto status = JsonStringToMessage(json, &line);
  EXPECT_TRUE(status.ok()) << status.ToString() << ": " << json;
  return line;
}

AccessEntry ForMethod(std::string_view method) {
  AccessEntry entry;
  entry.side = "ingress";
  entry.method = method;
  return entry;
}

// ---- Lines -----------------------------------------------------------------

TEST(AccessLogTest, ALineHasAllOfItsEntry) {
  AccessEntry entry;
  entry.side = "egress";
  entry.method = "/shop.v1.Inventory/GetStock";
  entry.peer = "ipv4:127.0.0.1:40022";
  entry.target = "dns:///inventory:443";
  entry.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  entry.request_id = "r-17";
  entry.code = grpc::StatusCode::DEADLINE_EXCEEDED;
  entry.reason = EndReason::kInheritedDeadline;
  entry.spent = absl::Microseconds(248'017);
  entry.time_left = absl::Microseconds(-500);
  entry.correlated = "request_id";
  entry.cut = true;
  entry.not_sent = true;
  const std::string path = NewPath();
  const absl::Time before = absl::Now();
  OpenLog(path)->Write(entry);

  const std::vector<std::string> lines = ReadLines(path);
  ASSERT_THAT(lines, SizeIs(1));
  constexpr std::string_view kBegin = R"({"time":")";
  constexpr size_t kTime = sizeof("2026-01-02T03:04:05.678901Z") - 1;
  EXPECT_THAT(lines[0], StartsWith(std::string(kBegin)));
  EXPECT_EQ(lines[0].substr(kBegin.size() + kTime),
            R"(","side":"egress","method":"/shop.v1.Inventory/GetStock",)"
            R"("peer":"ipv4:127.0.0.1:40022","target":"dns:///inventory:443",)"
            R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",)"
            R"("request_id":"r-17","code":"DEADLINE_EXCEEDED",)"
            R"("reason":"inherited deadline","spent_ms":248.017,)"
            R"("time_left_ms":-0.5,"correlated":"request_id","cut":true,)"
            R"("not_sent":true})");
  absl::Time time;
  const std::string text = Parse(lines[0]).time();
  EXPECT_THAT(text, EndsWith("Z"));
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, nullptr));
  EXPECT_GE(time, before - absl::Microseconds(1));
  EXPECT_LE(time, absl::Now());
}

TEST(AccessLogTest, WhatDoesNotApplyIsLeftOut) {
  AccessEntry entry = ForMethod("/a.B/C");
  const std::string path = NewPath();
  {
    const auto log = OpenLog(path);
    log->Write(entry);
    entry.time_left = absl::InfiniteDuration();
    log->Write(entry);
    entry.time_left = absl::ZeroDuration();
    log->Write(entry);
  }
  const std::vector<std::string> lines = ReadLines(path);
  ASSERT_THAT(lines, SizeIs(3));
  const std::string with = R"("method":"/a.B/C","code":"OK","spent_ms":0)";
  EXPECT_THAT(lines[0], EndsWith(with + "}"));
  EXPECT_THAT(lines[1], EndsWith(with + "}"));
  EXPECT_THAT(lines[2], EndsWith(with + R"(,"time_left_ms":0})"));
}

TEST(AccessLogTest, AnUndefinedCodeIsItsNumber) {
  AccessEntry entry = ForMethod("/a.B/C");
  entry.code = static_cast<grpc::StatusCode>(99);
  const std::string path = NewPath();
  OpenLog(path)->Write(entry);
  EXPECT_EQ(Parse(ReadLines(path).at(0)).code(), "99");
}

// ---- Names from strangers --------------------------------------------------

TEST(AccessLogTest, HostileNamesStayInTheirField) {
  const std::string names[] = {"/a\"}\n{\"side\":\"egress\"}", "\\u0022,\\",
                               std::string("/\0\x01\x1b[2J\x7f\r\n", 10),
                               "\xff\xfe\xc3\x28\xed\xa0\x80 \xe2\x80\xa8",
                               "<script>&'"};
  const std::string path = NewPath();
  {
    const auto log = OpenLog(path);
    for (const std::string& name : names) {
      AccessEntry entry = ForMethod(name);
      entry.peer = entry.target = entry.trace_id = entry.request_id = name;
      log->Write(entry);
    }
  }
  const std::vector<std::string> lines = ReadLines(path);
  ASSERT_THAT(lines, SizeIs(std::size(names)));
  for (const std::string& line : lines) {
    for (const char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
    const v1::AccessLogLine parsed = Parse(line);
    EXPECT_EQ(parsed.side(), "ingress");
    EXPECT_EQ(parsed.peer(), parsed.method());
    EXPECT_EQ(parsed.request_id(), parsed.method());
  }
  EXPECT_EQ(Parse(lines[0]).method(), "/a\"}?{\"side\":\"egress\"}");
  EXPECT_EQ(Parse(lines[1]).method(), "\\u0022,\\");
  EXPECT_EQ(Parse(lines[2]).method(), "/???[2J???");
  EXPECT_EQ(Parse(lines[4]).method(), "<script>&'");
}

TEST(AccessLogTest, ALineIsNeverLongerThanAPipeTakesAtOnce) {
  // JSON shows each as six bytes.
  const std::string huge(1 << 20, '<');
  AccessEntry entry;
  entry.side = entry.method = entry.peer = entry.target = huge;
  entry.trace_id = entry.request_id = entry.correlated = huge;
  entry.code = static_cast<grpc::StatusCode>(INT_MIN);
  entry.reason = EndReason::kInheritedDeadline;
  entry.spent = absl::Microseconds(INT64_MAX);
  entry.time_left = absl::Microseconds(INT64_MIN);
  entry.cut = entry.not_sent = true;
  const std::string path = NewPath();
  OpenLog(path)->Write(entry);
  const std::vector<std::string> lines = ReadLines(path);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_LT(lines[0].size() + 2, size_t{PIPE_BUF});
  const std::string method = Parse(lines[0]).method();
  EXPECT_THAT(method, StartsWith("<<<"));
  EXPECT_THAT(method, EndsWith("<..."));
}

// ---- The file --------------------------------------------------------------

TEST(AccessLogTest, LinesOfManyThreadsAndLogsStayWhole) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  const std::string path = NewPath();
  {
    const auto first = OpenLog(path);
    const auto second = OpenLog(path);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          (t % 2 == 0 ? first : second)->Write(ForMethod("/a.B/C"));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(first->dropped() + second->dropped(), 0);
  }
  const std::vector<std::string> lines = ReadLines(path);
  EXPECT_THAT(lines, SizeIs(kThreads * kEach));
  for (const std::string& line : lines) {
    EXPECT_EQ(Parse(line).method(), "/a.B/C");
  }
}

TEST(AccessLogTest, LinesComeSoonWithoutAClose) {
  const std::string path = NewPath();
  const auto log = OpenLog(path);
  log->Write(ForMethod("/a.B/C"));
  EXPECT_TRUE(AwaitLines(path, 1));
}

TEST(AccessLogTest, ItsFileIsNotForEveryone) {
  const std::string path = NewPath();
  OpenLog(path);
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0137, 0u);
}

TEST(AccessLogTest, ReopenFollowsTheName) {
  const std::string path = NewPath();
  const std::string rotated = path + ".1";
  {
    const auto log = OpenLog(path);
    log->Write(ForMethod("/first"));
    ASSERT_TRUE(AwaitLines(path, 1));
    ASSERT_EQ(std::rename(path.c_str(), rotated.c_str()), 0);
    log->Write(ForMethod("/second"));
    ASSERT_TRUE(AwaitLines(rotated, 2));
    ASSERT_TRUE(log->Reopen().ok());
    log->Write(ForMethod("/third"));
  }
  EXPECT_THAT(ReadLines(rotated), SizeIs(2));
  ASSERT_THAT(ReadLines(path), SizeIs(1));
  EXPECT_EQ(Parse(ReadLines(path)[0]).method(), "/third");
}

TEST(AccessLogTest, AFailedReopenKeepsTheFile) {
  const std::string folder = NewPath();
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  const std::string moved = NewPath();
  {
    const auto log = OpenLog(folder + "/log");
    ASSERT_EQ(std::rename(folder.c_str(), moved.c_str()), 0);
    const absl::Status status = log->Reopen();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(folder + "/log: No"));
    log->Write(ForMethod("/a.B/C"));
    EXPECT_EQ(log->dropped(), 0);
  }
  EXPECT_THAT(ReadLines(moved + "/log"), SizeIs(1));
}

TEST(AccessLogTest, WhatAFullDiskLosesIsCounted) {
  const auto log = OpenLog("/dev/full");
  for (int i = 0; i < 100; ++i) log->Write(ForMethod("/a.B/C"));
  EXPECT_TRUE(Await([&] { return log->dropped() == 100; })) << log->dropped();
}

TEST(AccessLogTest, AfterATornLineTheNextOneIsWhole) {
  const std::string path = NewPath();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  {
    const auto log = OpenLog(path);
    const rlimit small = {20, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    log->Write(ForMethod("/torn"));
    EXPECT_TRUE(Await([&] { return log->dropped() == 1; }));
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    log->Write(ForMethod("/whole"));
  }
  const std::vector<std::string> lines = ReadLines(path);
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], SizeIs(20));
  EXPECT_EQ(Parse(lines[1]).method(), "/whole");
}

// ---- Slow readers ----------------------------------------------------------

// A named pipe, and its reading end.
class Pipe {
 public:
  Pipe() : path_(NewPath()) {
    EXPECT_EQ(mkfifo(path_.c_str(), 0600), 0);
    fd_ = open(path_.c_str(), O_RDONLY | O_NONBLOCK);
    EXPECT_GE(fd_, 0);
  }
  ~Pipe() { Leave(); }
  const std::string& path() const { return path_; }
  void Leave() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // All that comes until no log has the pipe open.
  std::string ReadAll() {
    EXPECT_EQ(fcntl(fd_, F_SETFL, 0), 0);
    std::string all;
    char buffer[4096];
    ssize_t size;
    while ((size = read(fd_, buffer, sizeof buffer)) > 0) {
      all.append(buffer, static_cast<size_t>(size));
    }
    return all;
  }

 private:
  const std::string path_;
  int fd_ = -1;
};

TEST(AccessLogTest, ASlowReaderCostsLinesThatAreCountedAndNoTime) {
  Pipe pipe;
  auto log = OpenLog(pipe.path());
  // Fills the pipe, what is being written, and the buffer.
  int64_t written = 0;
  const absl::Time begin = absl::Now();
  while (log->dropped() < 100 && absl::Now() - begin < kGiveUp) {
    log->Write(ForMethod("/a.B/C"));
    ++written;
  }
  EXPECT_GE(log->dropped(), 100);
  EXPECT_GE(written - log->dropped(), int64_t{AccessLog::kMostWaiting});
  const int64_t dropped = log->dropped();
  std::string text;
  std::thread reader([&] { text = pipe.ReadAll(); });
  log.reset();
  reader.join();
  const std::vector<std::string> lines = LinesOf(text);
  EXPECT_EQ(static_cast<int64_t>(lines.size()), written - dropped);
  for (const std::string& line : lines) {
    EXPECT_EQ(Parse(line).method(), "/a.B/C");
  }
}

TEST(AccessLogTest, AReaderThatNeverReadsDoesNotHoldTheEnd) {
  Pipe pipe;
  auto log = OpenLog(pipe.path());
  absl::Time begin = absl::Now();
  while (log->dropped() == 0 && absl::Now() - begin < kGiveUp) {
    log->Write(ForMethod("/a.B/C"));
  }
  begin = absl::Now();
  log.reset();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1) + kGiveUp / 2);
}

TEST(AccessLogTest, AReaderThatLeavesIsAnErrorLikeOthers) {
  Pipe pipe;
  const auto log = OpenLog(pipe.path());
  pipe.Leave();
  log->Write(ForMethod("/a.B/C"));
  EXPECT_TRUE(Await([&] { return log->dropped() == 1; }));
}

// ---- Options ---------------------------------------------------------------

TEST(AccessLogTest, WithoutAPathThereIsNone) {
  const auto log = AccessLog::Open({});
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(*log, nullptr);
}

TEST(AccessLogTest, StandardOutputIsADash) {
  ::testing::internal::CaptureStdout();
  {
    const auto log = OpenLog("-");
    log->Write(ForMethod("/a.B/C"));
    EXPECT_TRUE(log->Reopen().ok());
  }
  const std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr(R"("method":"/a.B/C")"));
  EXPECT_NE(fcntl(STDOUT_FILENO, F_GETFD), -1) << "it closed standard output";
}

TEST(AccessLogTest, WhatCannotBeOpenedIsAnErrorThatSaysWhy) {
  const auto missing = AccessLog::Open({"/nowhere/access.log", 1});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(missing.status().message(),
            "can't open the access log /nowhere/access.log: No such file or "
            "directory");
  Pipe pipe;
  pipe.Leave();
  const auto unread = AccessLog::Open({pipe.path(), 1});
  EXPECT_THAT(std::string(unread.status().message()),
              EndsWith("nobody reads this pipe"));
}

TEST(AccessLogTest, TheSampleIsAFraction) {
  for (const double sample : {-0.1, 1.1, 0.0 / 0.0}) {
    EXPECT_EQ(AccessLog::Open({"-", sample}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << sample;
  }
  const auto share = [](double sample) {
    const auto log = AccessLog::Open({NewPath(), sample});
    int sampled = 0;
    for (int i = 0; i < 100'000; ++i) sampled += (*log)->Samples() ? 1 : 0;
    return sampled / 100'000.0;
  };
  EXPECT_EQ(share(0), 0);
  EXPECT_EQ(share(1), 1);
  EXPECT_NEAR(share(0.25), 0.25, 0.02);
}

}  // namespace
}  // namespace tether::sidecar
