// For fuzz targets: input as a stream, and checks that end the program.

#ifndef TETHER_FUZZ_FUZZ_CHECK_H_
#define TETHER_FUZZ_FUZZ_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

// In every build mode, unlike assert: a fuzz target is nothing but its checks.
#define FUZZ_CHECK(condition)                                         \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
                   #condition);                                       \
      std::abort();                                                   \
    }                                                                 \
  } while (false)

namespace tether::fuzz {

// Reads the input byte by byte; after its end, zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  bool done() const { return at_ == end_; }
  uint8_t Next() { return done() ? 0 : *at_++; }

  // 0 to n - 1. Digits mean themselves, so that seeds can be written by hand.
  int Below(int n) { return (Next() - '0' + 256) % 256 % n; }

 private:
  const uint8_t* at_;
  const uint8_t* const end_;
};

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// At least one, which may be empty.
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

// The target, as libFuzzer names it. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // TETHER_FUZZ_FUZZ_CHECK_H_
