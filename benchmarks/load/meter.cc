// SPDX-License-Identifier: Apache-2.0

#include "meter.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker.h"

namespace tether::benchmarks {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr milliseconds kBetweenSamples(20);

// The steps of the leaf.
constexpr milliseconds kWait(5);
constexpr microseconds kWork(1000);
constexpr int kSlowSteps = 20;
constexpr milliseconds kSlowWait(100);
constexpr microseconds kSlowWork(250);
constexpr microseconds kSlice(500);

nanoseconds ThreadCpu() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

// The number after `name` in /proc/self/status.
int64_t Status(const char* name) {
  std::ifstream file("/proc/self/status");
  std::string line;
  int64_t value = 0;
  while (std::getline(file, line)) {
    if (!absl::StartsWith(line, name)) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() < 2 || !absl::SimpleAtoi(words[1], &value)) break;
    return value;
  }
  Die(absl::StrCat("/proc/self/status has no ", name));
}

void KeepMost(std::atomic<int64_t>& most, int64_t value) {
  int64_t seen = most.load(std::memory_order_relaxed);
  while (seen < value && !most.compare_exchange_weak(seen, value)) {
  }
}

}  // namespace

Meter::Meter() : sampler_([this] { SampleUntilStopped(); }) { Begin(); }

Meter::~Meter() {
  stop_ = true;
  sampler_.join();
}

void Meter::Enter() {
  served_.fetch_add(1, std::memory_order_relaxed);
  KeepMost(most_in_flight_, in_flight_.fetch_add(1) + 1);
}

void Meter::Leave() { in_flight_.fetch_sub(1); }

void Meter::Work(nanoseconds time, int64_t gone_at_ns) {
  const bool wasted =
      steady_clock::now().time_since_epoch().count() >= gone_at_ns;
  const nanoseconds before = ThreadCpu();
  nanoseconds used(0);
  while ((used = ThreadCpu() - before) < time) {
  }
  worked_ns_.fetch_add(used.count(), std::memory_order_relaxed);
  if (wasted) wasted_ns_.fetch_add(used.count(), std::memory_order_relaxed);
}

void Meter::Begin() {
  internal::MutexLock lock(mutex_);
  samples_.clear();
  cpu_before_us_ = CpuMicroseconds();
  most_in_flight_ = in_flight_.load();
  served_ = 0;
  worked_ns_ = 0;
  wasted_ns_ = 0;
}

std::string Meter::Report() {
  internal::MutexLock lock(mutex_);
  std::string json = absl::StrCat(
      "{\"served\": ", served_.load(),
      ", \"most_in_flight\": ", most_in_flight_.load(),
      ", \"in_flight\": ", in_flight_.load(),
      ", \"cpu_s\": ", (CpuMicroseconds() - cpu_before_us_) / 1e6,
      ", \"worked_s\": ", static_cast<double>(worked_ns_.load()) / 1e9,
      ", \"wasted_s\": ", static_cast<double>(wasted_ns_.load()) / 1e9,
      ", \"peak_rss_kib\": ", Status("VmHWM:"), ", \"samples\": [");
  const char* comma = "";
  for (const Sample& sample : samples_) {
    absl::StrAppend(&json, comma, "[", sample.at.count(), ", ",
                    sample.in_flight, ", ", sample.threads, ", ",
                    sample.resident_kib, "]");
    comma = ", ";
  }
  return json + "]}";
}

void Meter::SampleUntilStopped() {
  while (!stop_) {
    Sample sample;
    sample.at = steady_clock::now().time_since_epoch();
    sample.in_flight = in_flight_.load();
    sample.threads = Status("Threads:");
    sample.resident_kib = Status("VmRSS:");
    {
      internal::MutexLock lock(mutex_);
      samples_.push_back(sample);
    }
    std::this_thread::sleep_for(kBetweenSamples);
  }
}

LeafSteps::LeafSteps(bool slow, Time stalled_until)
    : slow_(slow), begin_(std::max(steady_clock::now(), stalled_until)) {}

bool LeafSteps::Next(Step* step) {
  const int slow_steps = slow_ ? kSlowSteps : 0;
  const int step_number = done_++;
  if (step_number < slow_steps) {
    *step = {begin_ + (step_number + 1) * kSlowWait, kSlowWork};
    return true;
  }
  if ((step_number - slow_steps) * kSlice >= kWork) return false;
  *step = {begin_ + slow_steps * kSlowWait + kWait, kSlice};
  return true;
}

}  // namespace tether::benchmarks
