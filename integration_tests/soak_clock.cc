// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/soak_clock.h"

#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tether/testing/give_up.h"

namespace tether::soak {
namespace {

constexpr char kLibrary[] = "/usr/$LIB/faketime/libfaketimeMT.so.1";
constexpr char kFile[] = "FAKETIME_TIMESTAMP_FILE";

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// The file that libfaketime reads the offset from; "" without libfaketime.
std::string OffsetFile() {
  const char* const file = getenv(kFile);
  return file == nullptr ? "" : file;
}

bool LibfaketimeIsLoaded() {
  std::ifstream maps("/proc/self/maps");
  std::stringstream text;
  text << maps.rdbuf();
  return absl::StrContains(text.str(), "libfaketime");
}

void WriteOffset(absl::Duration offset) {
  const std::string file = OffsetFile();
  const std::string next = file + ".next";
  {
    std::ofstream out(next);
    const double seconds = absl::ToDoubleSeconds(offset);
    out << (seconds < 0 ? "" : "+") << seconds << "\n";
  }
  // The file is never partly written.
  std::rename(next.c_str(), file.c_str());
}

// Not absl::Now(): Abseil may compute it from another clock.
absl::Duration Now(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return absl::DurationFromTimespec(now);
}

// The time of the wall clock when the steady clock was zero.
absl::Duration WallOffset() {
  const absl::Duration before = SteadyNow();
  const absl::Duration wall = Now(CLOCK_REALTIME);
  return wall - (before + SteadyNow()) / 2;
}

// A deadline of the steady clock, known within the time that it takes to make
// it. Checks that it is unchanged.
class SteadyDeadline {
 public:
  ~SteadyDeadline() {
    constexpr absl::Duration kRounding = absl::Microseconds(1);
    const absl::Duration now = SteadyNow();
    const absl::Duration left = made_.ctx.Remaining();
    EXPECT_LE(now + left, latest_ + kRounding);
    EXPECT_GE(SteadyNow() + left, earliest_ - kRounding);
    EXPECT_FALSE(made_.ctx.Done());
  }

 private:
  const absl::Duration earliest_ = SteadyNow() + absl::Hours(1);
  const Cancellable made_ = WithTimeout(Background(), absl::Hours(1));
  const absl::Duration latest_ = SteadyNow() + absl::Hours(1);
};

}  // namespace

absl::Duration SteadyNow() { return Now(CLOCK_MONOTONIC); }

void ExecuteWithFakeClock(char** argv) {
  if (kSanitized) {
    std::cout << "no clock steps: AddressSanitizer" << std::endl;
    return;
  }
  if (!OffsetFile().empty()) {
    if (LibfaketimeIsLoaded()) return;
    std::cout << "no clock steps: no libfaketime (tools/setup.sh installs it)"
              << std::endl;
    std::remove(OffsetFile().c_str());
    unsetenv(kFile);
    return;
  }
  const char* const folder = getenv("TEST_TMPDIR");
  setenv(kFile,
         absl::StrCat(folder == nullptr ? "/tmp" : folder, "/soak_test.",
                      getpid(), ".offset")
             .c_str(),
         1);
  setenv("LD_PRELOAD", kLibrary, 1);
  // Reading the file for each reading of the clock would cost too much.
  setenv("FAKETIME_CACHE_DURATION", "1", 1);
  setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
  WriteOffset(absl::ZeroDuration());
  execv("/proc/self/exe", argv);
  std::perror("execv");
  std::abort();
}

ClockStepper::ClockStepper(uint32_t seed) {
  if (!OffsetFile().empty()) thread_ = std::thread([this, seed] { Run(seed); });
}

ClockStepper::~ClockStepper() {
  end_.cancel();
  if (!thread_.joinable()) return;
  thread_.join();
  std::remove(OffsetFile().c_str());
}

void ClockStepper::Run(uint32_t seed) {
  std::mt19937 random(seed);
  absl::Duration offset;
  while (!end_.ctx.WaitFor(absl::Milliseconds(random() % 500))) {
    absl::Duration next;
    do {
      next = absl::Milliseconds(static_cast<int>(random() % 1000) - 500);
    } while (absl::AbsDuration(next - offset) < absl::Milliseconds(200));
    const SteadyDeadline deadline;
    if (StepTo(next)) {
      ++steps_;
    } else if (!end_.ctx.Done()) {
      ADD_FAILURE() << "the clock hasn't followed to " << next;
    }
    offset = next;
  }
}

bool ClockStepper::StepTo(absl::Duration offset) {
  const absl::Duration before = WallOffset();
  WriteOffset(offset);
  const auto [limit, cancel] = WithTimeout(end_.ctx, testing::kGiveUp);
  while (!limit.WaitFor(absl::Milliseconds(10))) {
    if (absl::AbsDuration(WallOffset() - before) > absl::Milliseconds(100)) {
      return true;
    }
  }
  return false;
}

}  // namespace tether::soak
