// What a shared library of tether shows to those who link it: the rest of its
// symbols is hidden where it is compiled with -fvisibility=hidden.
//
// Everything public has this mark; so has what inline code and templates in the
// headers use, and what one library of tether uses of another.

#ifndef TETHER_EXPORT_H_
#define TETHER_EXPORT_H_

// A standard attribute, so that it may stand after [[nodiscard]]. It comes
// first in a declaration, and after `class` or `struct` in a definition.
#if defined(__GNUC__)
#define TETHER_EXPORT [[gnu::visibility("default")]]
#else
#define TETHER_EXPORT
#endif

#endif  // TETHER_EXPORT_H_
