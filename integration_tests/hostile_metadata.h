// Metadata as somebody would send it who wants to break its reader: good
// headers of all that tether reads, mutated. But legal: gRPC sends it as it is.
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

// What a request has. The headers of the application's own are kOwnNumber (a
// number), kOwnBinary (any bytes) and kOwnProto (a v1::BudgetReport); kRelayed
// and kRelayedBinary mean nothing.
inline constexpr char kOwnNumber[] = "x-number";
inline constexpr char kOwnBinary[] = "x-blob-bin";
inline constexpr char kOwnProto[] = "x-proto-bin";
inline constexpr char kRelayed[] = "x-relayed";
inline constexpr char kRelayedBinary[] = "x-relayed-bin";

// How much room a set takes at most, as HTTP/2 counts: gRPC's own headers still
// fit beside it in the 8 KiB that a peer takes.
inline constexpr size_t kMaxHostileBytes = 7000;

// The set of a request with this number: the same for the same seed, whoever
// asks.
std::vector<MetadataHeader> HostileRequest(uint64_t seed, uint64_t number);

// The set of an answer: `tether-report-bin`, mostly, and what else a request
// may have.
std::vector<MetadataHeader> HostileAnswer(uint64_t seed, uint64_t number);

// As HTTP/2 counts.
size_t BytesOf(const std::vector<MetadataHeader>& headers);

// The set as C++ would write it, for who looks for the bug.
std::string Describe(const std::vector<MetadataHeader>& headers);

}  // namespace tether

#endif  // TETHER_INTEGRATION_TESTS_HOSTILE_METADATA_H_
