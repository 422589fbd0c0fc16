// SPDX-License-Identifier: Apache-2.0
//
// The values that a server must take from a set of hostile metadata, computed
// independently of tether.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_HOSTILE_EXPECTATIONS_H_
#define TETHER_INTEGRATION_TESTS_HOSTILE_EXPECTATIONS_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "integration_tests/hostile_metadata.h"

namespace tether {

using Map = std::multimap<grpc::string_ref, grpc::string_ref>;

// All values of the header `name`, in order.
std::vector<std::string> AllOf(const Map& metadata, const char* name);

// True if `values` counts as one value: up to 16 equal copies.
bool AreOneValue(const std::vector<std::string>& values);

// The value of the header `name`, if all its copies are equal.
std::optional<std::string> SoleOf(const Map& metadata, const char* name);

// True if every character is between `low` and `high`, inclusive.
bool AllAre(std::string_view text, char low, char high);

std::optional<std::string> ExpectedRequestId(const Map& metadata);

// The value of kOwnNumber.
std::optional<int64_t> ExpectedNumber(const Map& metadata);

// The trace id of a valid traceparent.
std::optional<std::string> ExpectedTraceId(const Map& metadata);

// True if there is a header that B3 may read a trace from.
bool HasB3(const Map& metadata);

// The headers of a set that tell times.
struct ExpectedTimeout {
  int bad = 0;  // how many of them are dropped
  std::optional<int64_t> micros;
};
ExpectedTimeout TimeoutOf(const std::vector<MetadataHeader>& headers);

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_HOSTILE_EXPECTATIONS_H_
