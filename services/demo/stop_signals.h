// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C as a context.

#ifndef SHOP_SERVICES_DEMO_STOP_SIGNALS_H_
#define SHOP_SERVICES_DEMO_STOP_SIGNALS_H_

#include <atomic>
#include <thread>

#include "tether/context.h"

namespace shop {

// While this object lives, SIGINT and SIGTERM end its context instead of the
// process. Make it before any other thread, because existing threads would
// still receive the signals.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const tether::Context& ctx() const { return cancellable_.ctx; }

  // The signal that ended the context, or 0 if there was none.
  int received() const { return received_.load(); }

 private:
  void WaitForSignal();

  const tether::Cancellable cancellable_;
  std::atomic<int> received_{0};
  std::thread thread_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_STOP_SIGNALS_H_
