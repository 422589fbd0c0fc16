// SPDX-License-Identifier: Apache-2.0

#include "warehouse/shelves.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"

std::string Shelf(const std::string& name) {
  const absl::flat_hash_map<std::string, int> shelves = {{"A", 12}, {"B", 7}};
  return absl::StrFormat("%s: %d", name, shelves.at(name));
}
