#ifndef WAREHOUSE_H_
#define WAREHOUSE_H_

#include <string>

// Asks a server for its stock; the server waits until the caller's time, a
// tenth of a second, is up. Returns what the server has seen.
std::string AskOnce();

#endif  // WAREHOUSE_H_
