// SPDX-License-Identifier: Apache-2.0
//
// An endless generator in its own thread. Its consumer takes five numbers and
// leaves.
//
// Without a context, the thread would block forever in its sixth Send: a leak.

#include <cstdio>
#include <thread>

#include "absl/status/statusor.h"
#include "examples/leftovers.h"
#include "tether/channel.h"
#include "tether/context.h"

// Sends 1, 2, 3, ... until `ctx` ends.
void Generate(const tether::Context& ctx, tether::Channel<int>& numbers) {
  for (int n = 1; numbers.Send(ctx, n).ok(); ++n) {
  }
}

void TakeFive() {
  tether::Channel<int> numbers(/*capacity=*/1);
  auto [ctx, cancel] = tether::WithCancel(tether::Background());
  std::thread generator([&, ctx = ctx] { Generate(ctx, numbers); });

  for (;;) {
    const absl::StatusOr<int> n = numbers.Receive(ctx);
    if (!n.ok()) break;
    std::printf("%d\n", *n);
    if (*n == 5) break;
  }

  cancel();  // unblocks the generator's Send
  generator.join();
}

int main() {
  const examples::Leftovers leftovers;
  TakeFive();
  leftovers.Print();
}
