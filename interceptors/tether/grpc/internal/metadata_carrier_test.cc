// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/metadata_carrier.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/testing/fake_propagators.h"

namespace tether::internal {
namespace {

std::vector<std::string> KeysOf(const Carrier& carrier) {
  std::vector<std::string> keys;
  carrier.ForEachKey([&](std::string_view key) { keys.emplace_back(key); });
  return keys;
}

TEST(ReceivedMetadataTest, ReadsEveryValueOfAKeyInOrder) {
  const ReceivedMetadata::Map map = {{"a", "1"}, {"b", "x"}, {"b", "y"}};
  const ReceivedMetadata carrier(map);
  EXPECT_EQ(carrier.Get("a", 0), "1");
  EXPECT_EQ(carrier.Get("a", 1), std::nullopt);
  EXPECT_EQ(carrier.Get("b", 0), "x");
  EXPECT_EQ(carrier.Get("b", 1), "y");
  EXPECT_EQ(carrier.Get("c", 0), std::nullopt);
  EXPECT_EQ(KeysOf(carrier), (std::vector<std::string>{"a", "b"}));
}

TEST(ReceivedMetadataTest, AnArrayReadsLikeTheMap) {
  grpc_metadata headers[] = {
      {grpc_slice_from_static_string("b"),
       grpc_slice_from_static_string("x"),
       {}},
      {grpc_slice_from_static_string("a"),
       grpc_slice_from_static_string("1"),
       {}},
      {grpc_slice_from_static_string("b"),
       grpc_slice_from_static_string("y"),
       {}},
  };
  const grpc_metadata_array array = {3, 3, headers};
  const ReceivedMetadata carrier(array);
  EXPECT_EQ(carrier.Get("a", 0), "1");
  EXPECT_EQ(carrier.Get("a", 1), std::nullopt);
  EXPECT_EQ(carrier.Get("b", 0), "x");
  EXPECT_EQ(carrier.Get("b", 1), "y");
  EXPECT_EQ(carrier.Get("c", 0), std::nullopt);
  EXPECT_EQ(KeysOf(carrier), (std::vector<std::string>{"a", "b"}));
  const grpc_metadata_array none = {0, 0, nullptr};
  EXPECT_TRUE(KeysOf(ReceivedMetadata(none)).empty());
}

// Keys of few letters and lengths, so that many have the same bit, and some
// occur twice.
TEST(ReceivedMetadataTest, FindsExactlyWhatTheMapHolds) {
  std::mt19937 random(1);
  const auto name = [&random] {
    std::string key(random() % 4, 'a');
    for (char& c : key) c = static_cast<char>('a' + random() % 3);
    return key;
  };
  for (int round = 0; round < 1000; ++round) {
    std::vector<std::pair<std::string, std::string>> sent(random() % 20);
    ReceivedMetadata::Map map;
    for (auto& [key, value] : sent) {
      key = name();
      value = std::to_string(random());
      map.emplace(key, value);
    }
    std::vector<grpc_metadata> headers;
    for (const auto& [key, value] : sent) {
      headers.push_back({grpc_slice_from_static_buffer(key.data(), key.size()),
                         grpc_slice_from_static_string(value.c_str()),
                         {}});
    }
    const ReceivedMetadata of_map(map);
    const ReceivedMetadata of_array(
        grpc_metadata_array{headers.size(), headers.size(), headers.data()});
    for (int i = 0; i < 40; ++i) {
      const std::string key = name();
      const auto [first, last] = map.equal_range(key);
      for (const ReceivedMetadata* carrier : {&of_map, &of_array}) {
        int index = 0;
        for (auto it = first; it != last; ++it, ++index) {
          ASSERT_EQ(carrier->Get(key, index),
                    std::string_view(it->second.data(), it->second.size()));
        }
        ASSERT_EQ(carrier->Get(key, index), std::nullopt);
        ASSERT_EQ(carrier->Get(key, -1), std::nullopt);
      }
    }
  }
}

TEST(ReceivedMetadataTest, CannotBeWritten) {
  const ReceivedMetadata::Map map;
  ReceivedMetadata carrier(map);
  carrier.Set("a", "1");
  EXPECT_TRUE(map.empty());
}

TEST(SentMetadataTest, WritesWhatIsMissingAndKeepsWhatIsThere) {
  SentMetadata::Map map = {{"own", "1"}};
  SentMetadata carrier(map);
  carrier.Set("own", "2");
  carrier.Set("new", "3");
  EXPECT_EQ(map, (SentMetadata::Map{{"own", "1"}, {"new", "3"}}));
  EXPECT_EQ(carrier.Get("own", 0), "1");
  EXPECT_EQ(carrier.Get("new", 0), "3");
  EXPECT_EQ(KeysOf(carrier), (std::vector<std::string>{"new", "own"}));
}

TEST(SentMetadataTest, ValuesMayHoldAnyByte) {
  SentMetadata::Map map;
  SentMetadata carrier(map);
  const std::string bytes("\0\xff", 2);
  carrier.Set("key-bin", bytes);
  EXPECT_EQ(carrier.Get("key-bin", 0), bytes);
}

TEST(SentMetadataTest, ReplacesAndRepeatsOnlyWhatItHasWritten) {
  SentMetadata::Map map = {{"own", "1"}};
  SentMetadata carrier(map);
  carrier.Add("own", "2");
  carrier.Set("own", "3");
  carrier.Set("new", "a value that is too long for the small buffer");
  carrier.Add("new", "5");
  carrier.Set("new", carrier.Get("new", 0)->substr(2));
  EXPECT_EQ(map, (SentMetadata::Map{
                     {"new", "value that is too long for the small buffer"},
                     {"own", "1"},
                     {"own", "2"}}));
}

TEST(SentMetadataTest, KeepsTheOrderOfEqualKeysWhereverTheyAre) {
  SentMetadata::Map map = {{"a", "0"}, {"m", "0"}, {"z", "0"}};
  SentMetadata carrier(map);
  for (const char* value : {"1", "2"}) {
    for (const char* key : {"a", "m", "z"}) carrier.Add(key, value);
  }
  for (const char* key : {"a", "m", "z"}) {
    EXPECT_EQ(carrier.Get(key, 0), "0");
    EXPECT_EQ(carrier.Get(key, 1), "1");
    EXPECT_EQ(carrier.Get(key, 2), "2");
  }
}

TEST(SentMetadataTest, RemovesSomeKeysAndMeasuresTheOthers) {
  SentMetadata::Map map = {
      {"a", "1"}, {"a", "2"}, {"b-bin", "1234"}, {"c", ""}, {"d", "123"}};
  SentMetadata carrier(map);
  EXPECT_EQ(carrier.RemoveAndMeasure({"a", "d", "e"}),
            (5u + 8u + 32u) + (1u + 32u));
  EXPECT_EQ(map, (SentMetadata::Map{{"b-bin", "1234"}, {"c", ""}}));
  EXPECT_EQ(carrier.RemoveAndMeasure({"b-bin", "c"}), 0u);
  EXPECT_TRUE(map.empty());
}

// Returns a propagator whose Inject calls `inject`.
testing::FakePropagator Scribe(std::function<void(Carrier&)> inject) {
  return testing::FakePropagator(
      nullptr, [inject = std::move(inject)](const Context&, Carrier& carrier) {
        inject(carrier);
      });
}

// Writes 34 + 35 + 34 bytes.
testing::FakePropagator ThreeHeaders() {
  return Scribe([](Carrier& carrier) {
    carrier.Set("x", "1");
    EXPECT_TRUE(carrier.Add("a", "23"));
    EXPECT_TRUE(carrier.Add("a", "4"));
  });
}

TEST(SentMetadataInjectTest, WritesAllHeadersThatFitTogether) {
  SentMetadata::Map map = {{"a", "1"}};
  EXPECT_TRUE(SentMetadata(map).Inject(ThreeHeaders(), Background(), 103));
  EXPECT_EQ(map, (SentMetadata::Map{
                     {"a", "1"}, {"a", "23"}, {"a", "4"}, {"x", "1"}}));
}

TEST(SentMetadataInjectTest, WritesNoneOfThoseThatDoNotFitTogether) {
  for (size_t room = 0; room < 103; ++room) {
    SentMetadata::Map map = {{"a", "1"}, {"b", "2"}};
    EXPECT_FALSE(SentMetadata(map).Inject(ThreeHeaders(), Background(), room));
    EXPECT_EQ(map, (SentMetadata::Map{{"a", "1"}, {"b", "2"}})) << room;
  }
}

TEST(SentMetadataInjectTest, NothingFitsAfterWhatDoesNotFit) {
  SentMetadata::Map map;
  EXPECT_FALSE(SentMetadata(map).Inject(Scribe([](Carrier& carrier) {
                                          carrier.Set("a", "12");
                                          carrier.Set("b", "");
                                          EXPECT_EQ(carrier.Get("b"),
                                                    std::nullopt);
                                        }),
                                        Background(), 34));
  EXPECT_TRUE(map.empty());
}

TEST(SentMetadataInjectTest, WritesNothingOfAPropagatorThatThrows) {
  SentMetadata::Map map = {{"a", "1"}};
  SentMetadata carrier(map);
  EXPECT_THROW(carrier.Inject(Scribe([](Carrier& out) {
                                out.Add("a", "2");
                                out.Set("b", "3");
                                throw std::runtime_error("inject");
                              }),
                              Background(), 1000),
               std::runtime_error);
  EXPECT_EQ(map, (SentMetadata::Map{{"a", "1"}}));
}

TEST(SentMetadataInjectTest, WhatIsSetAfterwardsIsNotLimited) {
  for (const size_t room : {0, 102, 103}) {
    SentMetadata::Map map;
    SentMetadata carrier(map);
    EXPECT_EQ(carrier.Inject(ThreeHeaders(), Background(), room), room == 103);
    carrier.Set("tether-timeout", "1500000");
    EXPECT_EQ(carrier.Get("tether-timeout", 0), "1500000");
  }
}

TEST(SentMetadataInjectTest, CountsBinaryHeadersAsBase64) {
  const auto scribe =
      Scribe([](Carrier& carrier) { carrier.Set("a-bin", "1234"); });
  SentMetadata::Map map;
  EXPECT_FALSE(SentMetadata(map).Inject(scribe, Background(), 44));
  EXPECT_TRUE(SentMetadata(map).Inject(scribe, Background(), 45));
}

TEST(SentMetadataInjectTest, RemovesMoreHeadersThanItHasRoomForInPlace) {
  SentMetadata::Map map = {{"50", "own"}};
  EXPECT_FALSE(SentMetadata(map).Inject(Scribe([](Carrier& carrier) {
                                          for (int i = 0; i < 100; ++i) {
                                            carrier.Set(std::to_string(i), "");
                                          }
                                        }),
                                        Background(), 99 * 34));
  EXPECT_EQ(map, (SentMetadata::Map{{"50", "own"}}));
}

// As CompositePropagator promises.
TEST(SentMetadataInjectTest, LastPartThatWritesAHeaderWins) {
  for (const size_t max_bytes : {size_t{100}, SIZE_MAX}) {
    auto first = Scribe([](Carrier& carrier) { carrier.Set("a", "1"); });
    auto last = Scribe([](Carrier& carrier) { carrier.Set("a", "2"); });
    first.max_inject_bytes = last.max_inject_bytes = max_bytes;
    const CompositePropagator both{first, last};
    SentMetadata::Map map;
    EXPECT_TRUE(SentMetadata(map).Inject(both, Background(), 1000));
    EXPECT_EQ(map, (SentMetadata::Map{{"a", "2"}}));
  }
}

}  // namespace
}  // namespace tether::internal
