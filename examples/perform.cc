// SPDX-License-Identifier: Apache-2.0
//
// Work that is done once per period until it is cancelled. Here it shows a
// courier's position until the user closes the page.

#include <cstdio>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/leftovers.h"
#include "tether/channel.h"
#include "tether/context.h"

// Works at once, then once per period, until `ctx` ends. WaitFor returns true,
// and returns early, when the context ends.
void Perform(const tether::Context& ctx, absl::Duration period,
             tether::Channel<int>& positions) {
  int kilometres_to_go = 9;
  do {
    if (!positions.Send(ctx, kilometres_to_go--).ok()) return;
  } while (!ctx.WaitFor(period));
}

void ShowPage() {
  tether::Channel<int> positions(/*capacity=*/1);
  auto [ctx, cancel] = tether::WithCancel(tether::Background());
  std::thread courier(
      [&, ctx = ctx] { Perform(ctx, absl::Milliseconds(5), positions); });

  for (int shown = 0; shown < 3; ++shown) {
    const absl::StatusOr<int> position = positions.Receive(ctx);
    if (!position.ok()) break;
    std::printf("the courier is %d km away\n", *position);
  }
  std::printf("the page is closed: %s\n", ctx.Done() ? "done" : "not yet done");
  cancel();
  courier.join();  // returns at once, even in the middle of a period
  std::printf("the work has ended: %s\n", ctx.Err().ToString().c_str());
}

int main() {
  const examples::Leftovers leftovers;
  ShowPage();
  leftovers.Print();
}
