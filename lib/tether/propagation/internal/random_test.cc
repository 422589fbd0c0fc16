// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/random.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <set>

#include "gtest/gtest.h"

namespace tether::internal {
namespace {

TEST(RandomBitsTest, EveryBitVaries) {
  uint64_t ones = 0;
  uint64_t zeros = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t bits = RandomBits();
    ones |= bits;
    zeros |= ~bits;
  }
  EXPECT_EQ(ones, ~uint64_t{0});
  EXPECT_EQ(zeros, ~uint64_t{0});
}

// Otherwise forked workers of a server would use the same ids.
TEST(RandomBitsTest, ForkedChildDoesNotRepeatItsParent) {
  (void)RandomBits();
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const uint64_t bits = RandomBits();
    _exit(write(fds[1], &bits, sizeof bits) == sizeof bits ? 0 : 1);
  }
  uint64_t of_child = 0;
  ASSERT_EQ(read(fds[0], &of_child, sizeof of_child), ssize_t{sizeof of_child});
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  close(fds[0]);
  close(fds[1]);
  EXPECT_NE(RandomBits(), of_child);
}

}  // namespace
}  // namespace tether::internal
