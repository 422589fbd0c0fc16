// SPDX-License-Identifier: Apache-2.0
//
// HopId: the id that the sidecar gives to each request that it passes to the
// application. The application's outgoing calls carry it back, which shows for
// which request a call is made.
//
// An id is a secret between the sidecar and the handler of one request: who
// knows it can tie a call to that request. So ids come from the system's
// generator of random numbers, unlike the ids of propagation/internal/random.h,
// which are unique but predictable.

#ifndef TETHER_SIDECAR_HOP_ID_H_
#define TETHER_SIDECAR_HOP_ID_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tether::sidecar {

// 128 bits. The first 32 are the same for all ids of one process; the other 96
// are random. A default-constructed id is all zeros.
class HopId {
 public:
  static constexpr size_t kBytes = 16;
  static constexpr size_t kTextSize = 2 * kBytes;

  HopId() = default;
  explicit HopId(const std::array<uint8_t, kBytes>& bytes) : bytes_(bytes) {}

  // Parses the result of ToString(). Anything else is nullopt: fewer or more
  // digits, upper case, blanks.
  static std::optional<HopId> Parse(std::string_view text);

  // 32 lower-case hex digits, the prefix first.
  std::string ToString() const;
  // Writes these digits to `text`, without a NUL.
  void Write(char text[kTextSize]) const;

  const std::array<uint8_t, kBytes>& bytes() const { return bytes_; }
  uint32_t prefix() const {
    uint32_t prefix;
    std::memcpy(&prefix, bytes_.data(), sizeof prefix);
    return prefix;
  }

  friend bool operator==(const HopId& a, const HopId& b) {
    return a.bytes_ == b.bytes_;
  }
  friend bool operator!=(const HopId& a, const HopId& b) { return !(a == b); }

  template <typename H>
  friend H AbslHashValue(H hash, const HopId& id) {
    uint64_t halves[2];
    std::memcpy(halves, id.bytes_.data(), sizeof halves);
    return H::combine(std::move(hash), halves[0], halves[1]);
  }

 private:
  std::array<uint8_t, kBytes> bytes_ = {};
};

// Makes ids. One object a process is enough.
//
// Thread safety: any thread, without a lock. Each thread draws random bytes for
// many ids with one call of the system. A forked child draws its own, so it
// does not repeat ids of its parent; both have the same prefix.
//
// If the system has no random numbers, a message is printed and the process
// aborts: guessable ids would be worse. The constructor draws, so this shows at
// the start.
class HopIds {
 public:
  HopIds();

  // An id that nobody can guess, whatever other ids they have seen.
  HopId Next() const;

  // True if an object with the same prefix made `id`, as far as its prefix
  // shows. An id of another process passes this test with a probability of
  // 1 : 2^32.
  bool IsOurs(const HopId& id) const { return id.prefix() == prefix_; }

 private:
  uint32_t prefix_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_HOP_ID_H_
