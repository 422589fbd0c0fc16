// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"

namespace tether::faults {
namespace {

constexpr size_t kLargestPacket = 65'536;

int NonBlocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    std::perror("fcntl");
    std::abort();
  }
  return fd;
}

}  // namespace

Link::Link(int end_a, int end_b, uint32_t seed)
    : ends_{NonBlocking(end_a), NonBlocking(end_b)},
      stop_(eventfd(0, EFD_CLOEXEC)),
      random_(seed),
      thread_([this] { Run(); }) {}

Link::~Link() {
  eventfd_write(stop_, 1);
  thread_.join();
  for (const int fd : {ends_[kA], ends_[kB], stop_}) close(fd);
}

void Link::Set(End from, const LinkRules& rules) {
  const absl::MutexLock lock(&mutex_);
  Direction& direction = directions_[from];
  direction.rules = rules;
  direction.last_due = absl::InfinitePast();
  direction.line_is_free = absl::InfinitePast();
}

void Link::SetBoth(const LinkRules& rules) {
  Set(kA, rules);
  Set(kB, rules);
}

LinkCounts Link::counts(End from) const {
  const absl::MutexLock lock(&mutex_);
  return directions_[from].counts;
}

void Link::Run() {
  for (;;) {
    const timespec wait = absl::ToTimespec(SendDue());
    pollfd ready[] = {
        {ends_[kA], POLLIN, 0}, {ends_[kB], POLLIN, 0}, {stop_, POLLIN, 0}};
    if (ppoll(ready, 3, &wait, nullptr) < 0) continue;
    if (ready[2].revents != 0) return;
    for (const End end : {kA, kB}) {
      if (ready[end].revents != 0) Take(end);
    }
  }
}

void Link::Take(End from) {
  // Bounded, so that packets that are due don't wait for a busy sender.
  for (int i = 0; i < 64; ++i) {
    std::string bytes(kLargestPacket, '\0');
    const ssize_t size = read(ends_[from], bytes.data(), bytes.size());
    if (size <= 0) return;
    bytes.resize(static_cast<size_t>(size));
    const absl::MutexLock lock(&mutex_);
    Admit(from, std::move(bytes));
  }
}

void Link::Admit(End from, std::string bytes) {
  Direction& direction = directions_[from];
  ++direction.counts.arrived;
  const absl::Time due = Due(direction, bytes.size());
  if (due == absl::InfiniteFuture()) return;
  if (Chance(direction.rules.duplicate)) {
    ++direction.counts.repeated;
    waiting_.push({due, packets_++, from, bytes});
  }
  waiting_.push({due, packets_++, from, std::move(bytes)});
}

absl::Time Link::Due(Direction& direction, size_t size) {
  const LinkRules& rules = direction.rules;
  LinkCounts& counts = direction.counts;
  const absl::Time now = absl::Now();
  if (rules.drop_all) {
    ++counts.dropped;
    return absl::InfiniteFuture();
  }
  if (rules.mtu != 0 && size > rules.mtu) {
    ++counts.too_large;
    return absl::InfiniteFuture();
  }
  if (Chance(rules.loss)) {
    ++counts.lost;
    return absl::InfiniteFuture();
  }
  absl::Time sent = now;
  if (rules.bits_per_second > 0) {
    const auto on_line = [&](int64_t bytes) {
      return absl::Seconds(8.0 * static_cast<double>(bytes) /
                           static_cast<double>(rules.bits_per_second));
    };
    const absl::Time starts = std::max(now, direction.line_is_free);
    if (starts - now > on_line(rules.queue_bytes)) {
      ++counts.no_room;
      return absl::InfiniteFuture();
    }
    sent = starts + on_line(static_cast<int64_t>(size));
    direction.line_is_free = sent;
  }
  if (Chance(rules.reorder)) {
    ++counts.overtook;
    return sent;
  }
  const double share = std::uniform_real_distribution<>(0, 1)(random_);
  const absl::Time due = sent + rules.delay + share * rules.jitter;
  direction.last_due = std::max(direction.last_due, due);
  return direction.last_due;
}

absl::Duration Link::SendDue() {
  const absl::MutexLock lock(&mutex_);
  while (!waiting_.empty()) {
    const Packet& packet = waiting_.top();
    const absl::Duration left = packet.due - absl::Now();
    if (left > absl::ZeroDuration()) return left;
    Direction& direction = directions_[packet.from];
    if (direction.rules.drop_all) {
      ++direction.counts.dropped;
    } else {
      const int to = ends_[packet.from == kA ? kB : kA];
      // An error (the device is down, or its queue is full) is one more loss.
      if (write(to, packet.bytes.data(), packet.bytes.size()) < 0) {
        ++direction.counts.lost;
      }
    }
    waiting_.pop();
  }
  return absl::Seconds(1);
}

bool Link::Chance(double probability) {
  if (probability <= 0) return false;
  return std::uniform_real_distribution<>(0, 1)(random_) < probability;
}

}  // namespace tether::faults
