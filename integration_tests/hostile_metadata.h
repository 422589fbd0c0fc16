// SPDX-License-Identifier: Apache-2.0
//
// Metadata that tries to break its reader: valid headers of every kind that
// tether reads, mutated. All of it is legal for gRPC, which sends it unchanged.
//
// For tests only. Thread safety: any thread.

#ifndef TETHER_INTEGRATION_TESTS_HOSTILE_METADATA_H_
#define TETHER_INTEGRATION_TESTS_HOSTILE_METADATA_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tether {

struct MetadataHeader {
  std::string name;
  std::string value;
};

// The headers of a request. The application's own are kOwnNumber (a number),
// kOwnBinary (any bytes) and kOwnProto (a v1::BudgetReport); kRelayed and
// kRelayedBinary have no meaning.
inline constexpr char kOwnNumber[] = "x-number";
inline constexpr char kOwnBinary[] = "x-blob-bin";
inline constexpr char kOwnProto[] = "x-proto-bin";
inline constexpr char kRelayed[] = "x-relayed";
inline constexpr char kRelayedBinary[] = "x-relayed-bin";

// The largest size of a set, as HTTP/2 counts: it leaves room for gRPC's own
// headers in the 8 KiB that a peer accepts.
inline constexpr size_t kMaxHostileBytes = 7000;

// The set of the request with this number. It depends on `seed` and `number`
// only.
std::vector<MetadataHeader> HostileRequest(uint64_t seed, uint64_t number);

// The set of an answer: mostly `tether-report-bin`, and headers as in a
// request.
std::vector<MetadataHeader> HostileAnswer(uint64_t seed, uint64_t number);

// The size of `headers`, as HTTP/2 counts.
size_t BytesOf(const std::vector<MetadataHeader>& headers);

// The set as C++ source, for debugging.
std::string Describe(const std::vector<MetadataHeader>& headers);

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_HOSTILE_METADATA_H_
