// Ctrl-C as a context.

#ifndef SHOP_SERVICES_DEMO_STOP_SIGNALS_H_
#define SHOP_SERVICES_DEMO_STOP_SIGNALS_H_

#include <atomic>
#include <thread>

#include "tether/context.h"

namespace shop {

// As long as it lives, SIGINT and SIGTERM don't end the process but its
// context. Make it before any other thread, which would still take them.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const tether::Context& ctx() const { return cancellable_.ctx; }

  // The signal that ended the context; 0 when none has come.
  int received() const { return received_.load(); }

 private:
  void WaitForSignal();

  const tether::Cancellable cancellable_;
  std::atomic<int> received_{0};
  std::thread thread_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_STOP_SIGNALS_H_
