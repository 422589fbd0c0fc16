// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/poller.h"

#include <utility>

#include "absl/time/clock.h"

namespace tether::ctl {

using internal::MutexLock;

Poller::Poller(const Context& ctx, const Processes& processes,
               v1::ListRequest list, absl::Duration interval)
    : processes_(processes),
      interval_(interval),
      list_(std::move(list)),
      same_list_(WithCancel(ctx)),
      answers_(processes.size()),
      group_(ctx, KeepGoing()) {
  for (size_t i = 0; i < processes.size(); ++i) {
    answers_[i].set_address(processes[i]->address());
    group_.Go([this, i](const Context& c) { Poll(c, i); });
  }
}

Poller::~Poller() = default;

void Poller::SetList(v1::ListRequest list) {
  Cancellable changed = WithCancel(group_.context());
  {
    MutexLock lock(mutex_);
    if (list.SerializeAsString() == list_.SerializeAsString()) return;
    list_ = std::move(list);
    std::swap(same_list_, changed);
  }
  // Destroying `changed` ends the waits.
}

std::optional<Snapshots> Poller::News() {
  Snapshots news;
  MutexLock lock(mutex_);
  if (!std::exchange(has_news_, false)) return std::nullopt;
  for (const ProcessSnapshot& answer : answers_) *news.add_processes() = answer;
  return news;
}

void Poller::Poll(const Context& ctx, size_t index) {
  while (!ctx.Done()) {
    const absl::Time next = absl::Now() + interval_;
    v1::ListRequest list;
    Context same_list;
    {
      MutexLock lock(mutex_);
      list = list_;
      same_list = same_list_.ctx;
    }
    ProcessSnapshot answer = processes_[index]->List(ctx, list);
    if (ctx.Done()) return;
    {
      MutexLock lock(mutex_);
      answers_[index] = std::move(answer);
      has_news_ = true;
    }
    auto [pause, cancel] = Merge(ctx, same_list);
    pause.WaitUntil(next);
  }
}

}  // namespace tether::ctl
