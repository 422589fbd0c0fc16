// SPDX-License-Identifier: Apache-2.0
//
// TETHER_EXPORT marks the symbols that tether's shared libraries export. All
// others are hidden when tether is compiled with -fvisibility=hidden.
//
// It marks everything public, everything that inline code and templates in the
// headers use, and everything that one library of tether uses from another.
//
// This header also checks the C++ standard, since all other public headers
// include it.

#ifndef TETHER_EXPORT_H_
#define TETHER_EXPORT_H_

#if __cplusplus < 201703L
#error "tether needs C++17: compile with -std=c++17 or newer"
#endif

// A standard attribute, so that it can follow [[nodiscard]]. Put it first in a
// declaration, and after `class` or `struct` in a definition.
#if defined(__GNUC__)
#define TETHER_EXPORT [[gnu::visibility("default")]]
#else
#define TETHER_EXPORT
#endif

#endif  // TETHER_EXPORT_H_
