// SPDX-License-Identifier: Apache-2.0

#ifndef WAREHOUSE_WAREHOUSE_H_
#define WAREHOUSE_WAREHOUSE_H_

#include <string>

// Asks a server for its stock with a deadline of 0.1 s. The server waits until
// the deadline passes. Returns what the server saw.
std::string AskOnce();

#endif  // WAREHOUSE_WAREHOUSE_H_
