// SPDX-License-Identifier: Apache-2.0
//
// The version of tether. Before 1.0.0, a new MINOR version may change the API
// and the ABI; a new PATCH version may not.

#ifndef TETHER_VERSION_H_
#define TETHER_VERSION_H_

#define TETHER_VERSION_MAJOR 0
#define TETHER_VERSION_MINOR 1
#define TETHER_VERSION_PATCH 0

#endif  // TETHER_VERSION_H_
