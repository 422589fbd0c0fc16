// SPDX-License-Identifier: Apache-2.0

#include "worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace tether::benchmarks {
namespace {

std::atomic<bool> counts_allocations{false};
std::atomic<int64_t> allocations{0};

constexpr int32_t kQuit = -1;

// A pipe holds far more than one of these, so none is split.
template <typename T>
bool Receive(int pipe, T& value) {
  return read(pipe, &value, sizeof(T)) == static_cast<ssize_t>(sizeof(T));
}

template <typename T>
bool Send(int pipe, const T& value) {
  return write(pipe, &value, sizeof(T)) == static_cast<ssize_t>(sizeof(T));
}

}  // namespace

Worker::Worker(const std::function<Respond()>& start) {
  int orders[2];
  int answers[2];
  if (pipe(orders) != 0 || pipe(answers) != 0) Die("no pipe");
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ < 0) Die("no process");
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    {
      const Respond respond = start();
      Order order;
      while (Receive(orders[0], order) && order.what != kQuit) {
        if (!Send(answers[1], respond(order))) break;
      }
    }
    _exit(0);
  }
  close(orders[0]);
  close(answers[1]);
  orders_ = orders[1];
  answers_ = answers[0];
}

Worker::~Worker() {
  Send(orders_, Order{kQuit, 0});
  waitpid(process_, nullptr, 0);
  close(orders_);
  close(answers_);
}

Answer Worker::Do(const Order& order) {
  Answer answer;
  if (!Send(orders_, order) || !Receive(answers_, answer)) {
    Die("a worker is gone");
  }
  return answer;
}

void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  _exit(1);
}

double CpuMicroseconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return 1e6 * static_cast<double>(usage.ru_utime.tv_sec +
                                   usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void CountAllocations(bool count) {
  counts_allocations.store(count, std::memory_order_relaxed);
}

int64_t Allocations() { return allocations.load(std::memory_order_relaxed); }

double Quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const size_t index =
      std::min(values.size() - 1, static_cast<size_t>(part * values.size()));
  std::nth_element(values.begin(),
                   values.begin() + static_cast<std::ptrdiff_t>(index),
                   values.end());
  return values[index];
}

void Print(const std::vector<Row>& rows) {
  std::printf("{\"rows\": [");
  const char* separator = "";
  for (const Row& row : rows) {
    std::printf("%s\n {\"operation\": \"%s\", \"unit\": \"%s\", \"tether\": %g",
                separator, row.operation.c_str(), row.unit.c_str(), row.tether);
    std::printf(", \"peers\": {");
    separator = "";
    for (const auto& [name, value] : row.peers) {
      std::printf("%s\"%s\": %g", separator, name.c_str(), value);
      separator = ", ";
    }
    std::printf("}");
    if (row.allocations) std::printf(", \"allocations\": %g", *row.allocations);
    if (row.worst) std::printf(", \"worst\": true");
    std::printf("}");
    separator = ",";
  }
  std::printf("\n]}\n");
}

double SecondsOf(int argc, char** argv) {
  constexpr char kOption[] = "--seconds=";
  double seconds = 10;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], kOption, std::strlen(kOption)) != 0) {
      Die(std::string("unknown option ") + argv[i]);
    }
    seconds = std::atof(argv[i] + std::strlen(kOption));
  }
  return seconds;
}

}  // namespace tether::benchmarks

// All other forms of new and delete call these.
void* operator new(size_t size) {
  using tether::benchmarks::allocations;
  using tether::benchmarks::counts_allocations;
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  if (counts_allocations.load(std::memory_order_relaxed)) {
    allocations.fetch_add(1, std::memory_order_relaxed);
  }
  return p;
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
