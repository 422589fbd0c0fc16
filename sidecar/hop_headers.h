// SPDX-License-Identifier: Apache-2.0
//
// Puts the id of a request into the text of the headers `baggage` and
// `tracestate`, and takes it out again.
//
// The member is named kHopKey: `tether-hop=<32 lower-case hex digits>`. What
// these functions say about members:
//  - Members are separated by commas. A member's name is what precedes its
//    first '=' (in baggage also ';'), without blanks and tabs around it. Case
//    matters: `Tether-Hop` is another member and stays.
//  - A member of this name is never kept, whatever its value. Its value is an
//    id only if HopId::Parse takes it, blanks and tabs around it removed. In
//    baggage, the value ends at the first ';', so properties are ignored; in
//    tracestate, ';' belongs to the value, which is then no id.
//  - All other members keep every byte and their order: blanks,
//    percent-encoding, properties, members that are empty or malformed.
//
// The text may be anything, of any size: it takes linear time. One text is one
// header; of several headers of one name, treat each.
//
// Thread safety: any thread.

#ifndef TETHER_SIDECAR_HOP_HEADERS_H_
#define TETHER_SIDECAR_HOP_HEADERS_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sidecar/hop_id.h"

namespace tether::sidecar {

inline constexpr std::string_view kHopKey = "tether-hop";

// Returns the header with the id as its first member, and without other members
// of this name.
std::string PutHopInBaggage(std::string_view baggage, const HopId& id);

// The same. If `tracestate` is legal, so is the result: other members are
// dropped from the end until at most 32 are left (empty ones don't count).
//
// If the result is longer than 512 bytes, members are dropped as the standard
// says, first those longer than 128 characters, then from the end: some
// readers (OpenTelemetry for JavaScript) ignore a longer header as a whole.
std::string PutHopInTraceState(std::string_view tracestate, const HopId& id);

struct TakenHops {
  // In the order of the header, repetitions included. Usually one; several if
  // the application merges the headers of several requests.
  std::vector<HopId> ids;
  // The header without members of this name; may be empty.
  std::string rest;
  // False if there was none, so that `rest` is the header itself.
  bool changed = false;
};

TakenHops TakeHopsFromBaggage(std::string_view baggage);
TakenHops TakeHopsFromTraceState(std::string_view tracestate);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_HOP_HEADERS_H_
