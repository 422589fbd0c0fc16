// SPDX-License-Identifier: Apache-2.0

#ifndef WAREHOUSE_SHELVES_H_
#define WAREHOUSE_SHELVES_H_

#include <string>

// The number of articles on a shelf, in words. Without gRPC.
std::string Shelf(const std::string& name);

#endif  // WAREHOUSE_SHELVES_H_
