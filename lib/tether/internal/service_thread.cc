// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/service_thread.h"

#include <signal.h>

#include <atomic>
#include <memory>
#include <new>

namespace tether::internal {
namespace {

std::atomic<int> starts_to_fail{0};

bool MustFail() {
  int left = starts_to_fail.load(std::memory_order_relaxed);
  while (left > 0) {
    if (starts_to_fail.compare_exchange_weak(left, left - 1)) return true;
  }
  return false;
}

struct Job {
  const char* name;
  absl::AnyInvocable<void() &&> body;
};

void* RunJob(void* arg) {
  const std::unique_ptr<Job> job(static_cast<Job*>(arg));
  pthread_setname_np(pthread_self(), job->name);
  std::move(job->body)();
  return nullptr;
}

}  // namespace

bool ServiceThread::Start(const char* name,
                          absl::AnyInvocable<void() &&> body) noexcept {
  if (MustFail()) return false;
  std::unique_ptr<Job> job(new (std::nothrow) Job{name, std::move(body)});
  if (job == nullptr) return false;
  // The new thread inherits this mask, so it blocks the signals from its start.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
    sigdelset(&blocked, fault);
  }
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  started_ = pthread_create(&thread_, nullptr, &RunJob, job.get()) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started_) job.release();  // the thread owns it
  return started_;
}

void ServiceThread::Join() {
  started_ = false;
  pthread_join(thread_, nullptr);
}

void ServiceThread::Detach() {
  started_ = false;
  pthread_detach(thread_);
}

void FailThreadStarts(int n) { starts_to_fail.store(n); }

}  // namespace tether::internal
