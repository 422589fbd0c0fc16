// SPDX-License-Identifier: Apache-2.0
//
// A StatusPage that shows what its standard input says, for
// status_page_browser_test.
//
// It prints its address. Each line of the input is a message in JSON after its
// type, and is answered by "ok" or by an error:
//
//   snapshot {"process": "orders", "requests": [{"method": "/a/b"}]}
//   live {"process": "orders", "requests": [{"method": "/a/b"}]}
//   health {"process": "orders"}
//
// After "live", ages grow and times left fall as time goes by. It ends with its
// input.

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/internal/mutex.h"
#include "tether/observability/status_page.h"
#include "tether/v1/inspector.pb.h"

namespace tether {
namespace {

// What the page shows.
struct Script {
  internal::Mutex mu;
  v1::Snapshot snapshot ABSL_GUARDED_BY(mu);
  // Of `snapshot`; InfiniteFuture() if its times stand still.
  absl::Time time ABSL_GUARDED_BY(mu) = absl::InfiniteFuture();
  v1::PropagationHealth health ABSL_GUARDED_BY(mu);
};

template <typename Entry>
void Age(Entry& entry, int64_t us) {
  entry.set_age_us(entry.age_us() + us);
  if (entry.has_time_left_us()) {
    entry.set_time_left_us(entry.time_left_us() - us);
  }
}

v1::Snapshot SnapshotOf(Script& script) {
  internal::MutexLock lock(script.mu);
  v1::Snapshot snapshot = script.snapshot;
  const int64_t us = script.time == absl::InfiniteFuture()
                         ? 0
                         : absl::ToInt64Microseconds(absl::Now() - script.time);
  for (v1::InFlightRequest& request : *snapshot.mutable_requests()) {
    Age(request, us);
    for (v1::InFlightCall& call : *request.mutable_waits_for()) Age(call, us);
  }
  for (v1::InFlightCall& call : *snapshot.mutable_other_calls()) Age(call, us);
  return snapshot;
}

// Returns "ok" or an error.
std::string Play(const std::string& line, Script& script) {
  const size_t space = line.find(' ');
  const std::string type = line.substr(0, space);
  const std::string json =
      space == std::string::npos ? "" : line.substr(space + 1);
  internal::MutexLock lock(script.mu);
  google::protobuf::Message* message = nullptr;
  if (type == "snapshot" || type == "live") {
    message = &script.snapshot;
    script.time = type == "live" ? absl::Now() : absl::InfiniteFuture();
  } else if (type == "health") {
    message = &script.health;
  } else {
    return "unknown type: " + type;
  }
  message->Clear();
  const auto status =
      google::protobuf::util::JsonStringToMessage(json, message);
  return status.ok() ? "ok" : status.ToString();
}

int Main() {
  Script script;
  StatusPageOptions options;
  options.snapshot = [&](const v1::ListRequest&) { return SnapshotOf(script); };
  options.health = [&] {
    internal::MutexLock lock(script.mu);
    return script.health;
  };
  const auto page = StatusPage::Start(std::move(options));
  if (!page.ok()) {
    std::cerr << page.status() << '\n';
    return 1;
  }
  std::cout << (*page)->address() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << Play(line, script) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace tether

int main() { return tether::Main(); }
