// SPDX-License-Identifier: Apache-2.0
//
// The headers of a request, for tether's and OpenTelemetry's carriers.
//
// This is a short array. It is searched from the front, and keeps its memory
// when it is cleared. So the benchmark measures the propagators, and not the
// insertions into a map.

#ifndef TETHER_BENCHMARKS_HEADER_ROW_H_
#define TETHER_BENCHMARKS_HEADER_ROW_H_

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tether::benchmarks {

// All programs use the same values. The trace is the standard's example.
inline constexpr std::string_view kTraceParent =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
inline constexpr std::string_view kTraceState =
    "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
inline constexpr std::string_view kTenEntries =
    "userId=alice,tenant=acme%20corp,region=eu-west-1,plan=gold,canary=false,"
    "experiment=checkout-2,session=9f86d081884c7d65,locale=de-DE,"
    "device=phone,source=newsletter";

class HeaderRow {
 public:
  struct Header {
    std::string_view key;  // refers to a constant
    std::string value;
  };

  // Null if there is none.
  const Header* Find(std::string_view key) const {
    for (size_t i = 0; i < size_; ++i) {
      if (headers_[i].key == key) return &headers_[i];
    }
    return nullptr;
  }

  void Set(std::string_view key, std::string_view value) {
    const Header* found = Find(key);
    if (found == nullptr && size_ == headers_.size()) std::abort();
    Header& header =
        headers_[found == nullptr ? size_++
                                  : static_cast<size_t>(found - &headers_[0])];
    header.key = key;
    header.value.assign(value);
  }

  void Clear() { size_ = 0; }
  size_t size() const { return size_; }
  const Header& operator[](size_t i) const { return headers_[i]; }

 private:
  std::array<Header, 4> headers_;
  size_t size_ = 0;
};

}  // namespace tether::benchmarks

#endif  // TETHER_BENCHMARKS_HEADER_ROW_H_
