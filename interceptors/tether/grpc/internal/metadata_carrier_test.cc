// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/metadata_carrier.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

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

}  // namespace
}  // namespace tether::internal
