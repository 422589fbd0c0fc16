// SPDX-License-Identifier: Apache-2.0
//
// Ids of requests: their text, their prefix, and where their random bits come
// from.

#include "sidecar/hop_id.h"

#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "absl/hash/hash.h"
#include "gtest/gtest.h"
#include "tether/testing/together.h"

namespace {

// What getrandom does, and how often it was called.
enum class System { kWorks, kIsInterrupted, kGivesLittle, kFails };
std::atomic<System> the_system{System::kWorks};
std::atomic<int> draws{0};

}  // namespace

// Replaces the C library's in this program.
extern "C" ssize_t getrandom(void* bytes, size_t size, unsigned int flags) {
  const int draw = draws.fetch_add(1);
  switch (the_system.load()) {
    case System::kIsInterrupted:
      if (draw % 2 == 0) {
        errno = EINTR;
        return -1;
      }
      break;
    case System::kGivesLittle:
      size = std::min<size_t>(size, 7);
      break;
    case System::kFails:
      errno = ENOSYS;
      return -1;
    case System::kWorks:
      break;
  }
  return syscall(SYS_getrandom, bytes, size, flags);
}

namespace tether::sidecar {
namespace {

constexpr std::string_view kText = "00112233445566778899aabbccddeeff";

TEST(HopIdTest, TextIs32LowerCaseDigits) {
  std::array<uint8_t, HopId::kBytes> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i * 0x11);
  }
  EXPECT_EQ(HopId(bytes).ToString(), kText);
  EXPECT_EQ(HopId::Parse(kText), HopId(bytes));
  EXPECT_EQ(HopId().ToString(), std::string(32, '0'));
}

TEST(HopIdTest, ParseTakesNothingElse) {
  ASSERT_TRUE(HopId::Parse(kText).has_value());
  EXPECT_EQ(HopId::Parse(""), std::nullopt);
  EXPECT_EQ(HopId::Parse(kText.substr(1)), std::nullopt);
  EXPECT_EQ(HopId::Parse(std::string(kText) + "0"), std::nullopt);
  EXPECT_EQ(HopId::Parse(std::string(1'000'000, '0')), std::nullopt);
  for (size_t i = 0; i < kText.size(); ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string text(kText);
      text[i] = static_cast<char>(c);
      const bool legal = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      EXPECT_EQ(HopId::Parse(text).has_value(), legal) << i << ' ' << c;
    }
  }
}

TEST(HopIdTest, AnIdReadsBackAsItself) {
  const HopIds ids;
  for (int i = 0; i < 1000; ++i) {
    const HopId id = ids.Next();
    EXPECT_EQ(HopId::Parse(id.ToString()), id);
  }
}

TEST(HopIdTest, ThePrefixTellsProcessesApart) {
  const HopIds ids;
  const HopIds copy = ids;
  const HopIds other;
  EXPECT_TRUE(ids.IsOurs(ids.Next()));
  EXPECT_TRUE(copy.IsOurs(ids.Next()));
  EXPECT_FALSE(other.IsOurs(ids.Next()));
  EXPECT_EQ(ids.Next().ToString().substr(0, 8),
            ids.Next().ToString().substr(0, 8));
}

// Each of the 96 bits is set about as often as not, also where its neighbour
// is. It shows that all of them are drawn, not that they can't be guessed.
TEST(HopIdTest, AllOtherBitsAreRandom) {
  const HopIds ids;
  constexpr int kIds = 10'000;
  std::array<int, 128> set = {};
  std::array<int, 128> same_as_before = {};
  HopId before = ids.Next();
  for (int i = 0; i < kIds; ++i) {
    const HopId id = ids.Next();
    for (size_t bit = 32; bit < 128; ++bit) {
      const auto value = [bit](const HopId& of) {
        return of.bytes()[bit / 8] >> bit % 8 & 1;
      };
      set[bit] += value(id);
      same_as_before[bit] += value(id) == value(before);
    }
    before = id;
  }
  for (size_t bit = 32; bit < 128; ++bit) {
    // 8 standard deviations.
    EXPECT_NEAR(set[bit], kIds / 2, 400) << bit;
    EXPECT_NEAR(same_as_before[bit], kIds / 2, 400) << bit;
  }
}

TEST(HopIdTest, ThreadsMakeDistinctIds) {
  const HopIds ids;
  constexpr size_t kThreads = 8;
  constexpr size_t kIdsEach = 5000;
  std::array<std::vector<HopId>, kThreads> made;
  tether::testing::Together(kThreads, [&](int thread) {
    std::vector<HopId>& mine = made[static_cast<size_t>(thread)];
    for (size_t i = 0; i < kIdsEach; ++i) mine.push_back(ids.Next());
  });
  std::unordered_set<HopId, absl::Hash<HopId>> all;
  for (const std::vector<HopId>& some : made) {
    all.insert(some.begin(), some.end());
  }
  EXPECT_EQ(all.size(), kThreads * kIdsEach);
}

TEST(HopIdTest, OneDrawIsEnoughForManyIds) {
  const HopIds ids;
  draws = 0;
  for (int i = 0; i < 85'000; ++i) ids.Next();
  EXPECT_GE(draws.load(), 1) << "or this test sees nothing";
  EXPECT_LE(draws.load(), 1001);
}

TEST(HopIdTest, AForkedChildRepeatsNoId) {
  const HopIds ids;
  ids.Next();  // so there is something in store
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  constexpr int kIds = 200;
  const pid_t pid = fork();
  if (pid == 0) {
    bool good = true;
    for (int i = 0; i < kIds; ++i) {
      const std::string text = ids.Next().ToString();
      good = good && write(channel[1], text.data(), text.size()) ==
                         static_cast<ssize_t>(text.size());
    }
    _exit(good ? 0 : 1);
  }
  ASSERT_GT(pid, 0);
  std::set<std::string> all;
  for (int i = 0; i < kIds; ++i) all.insert(ids.Next().ToString());
  int status = 1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  close(channel[1]);
  char text[HopId::kTextSize];
  while (read(channel[0], text, sizeof text) == sizeof text) {
    const std::string id(text, sizeof text);
    EXPECT_TRUE(all.insert(id).second) << id;
    EXPECT_TRUE(ids.IsOurs(*HopId::Parse(id)));
  }
  close(channel[0]);
  EXPECT_EQ(all.size(), size_t{2 * kIds});
}

TEST(HopIdTest, InterruptedAndShortDrawsAreContinued) {
  const HopIds ids;
  for (const System system : {System::kIsInterrupted, System::kGivesLittle}) {
    the_system = system;
    draws = 0;
    std::unordered_set<HopId, absl::Hash<HopId>> all;
    for (int i = 0; i < 1000; ++i) all.insert(ids.Next());
    the_system = System::kWorks;
    EXPECT_GT(draws.load(), 12);
    EXPECT_EQ(all.size(), 1000u);
  }
}

TEST(HopIdDeathTest, WithoutRandomNumbersThereAreNoIds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        the_system = System::kFails;
        const HopIds ids;
        for (int i = 0; i < 1000; ++i) ids.Next();
      },
      "no random numbers");
}

}  // namespace
}  // namespace tether::sidecar
