// SPDX-License-Identifier: Apache-2.0
//
// For fuzz targets: reads the input as a stream, and checks that abort the
// program.

#ifndef TETHER_FUZZ_FUZZ_CHECK_H_
#define TETHER_FUZZ_FUZZ_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

// Active in every build mode, unlike assert.
#define FUZZ_CHECK(condition)                                         \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
                   #condition);                                       \
      std::abort();                                                   \
    }                                                                 \
  } while (false)

namespace tether::fuzz {

// Reads the input byte by byte, and zeros after its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  bool done() const { return at_ == end_; }
  uint8_t Next() { return done() ? 0 : *at_++; }

  // A number from 0 to n - 1. A digit gives its value, so that seeds can be
  // written by hand.
  int Below(int n) { return (Next() - '0' + 256) % 256 % n; }

 private:
  const uint8_t* at_;
  const uint8_t* const end_;
};

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The lines of `text`: at least one, which may be empty.
inline std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos;) {
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  lines.push_back(text);
  return lines;
}

}  // namespace tether::fuzz

// The fuzz target, with the name that libFuzzer expects. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // TETHER_FUZZ_FUZZ_CHECK_H_
