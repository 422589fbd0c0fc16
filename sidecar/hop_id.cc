// SPDX-License-Identifier: Apache-2.0

#include "sidecar/hop_id.h"

#include <pthread.h>
#include <sys/random.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "tether/propagation/internal/hex.h"

namespace tether::sidecar {
namespace {

// The number of forks between the original process and this one.
std::atomic<uint32_t> forks{0};

// Registered before main() begins, as in propagation/internal/random.cc.
[[maybe_unused]] const int registered = pthread_atfork(
    nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

void DrawFromSystem(uint8_t* bytes, size_t size) {
  while (size > 0) {
    const ssize_t drawn = getrandom(bytes, size, 0);
    if (drawn < 0) {
      if (errno == EINTR) continue;
      std::perror("tether-sidecar: no random numbers for ids (getrandom)");
      std::abort();
    }
    bytes += drawn;
    size -= static_cast<size_t>(drawn);
  }
}

// The random bytes that a thread has in store.
struct Store {
  // For 85 ids. One draw takes about as long as making 50 ids.
  std::array<uint8_t, 1024> bytes;
  size_t used = sizeof bytes;
  uint32_t drawn_in = 0;  // the value of `forks` at that time
};

void Draw(uint8_t* bytes, size_t size) {
  thread_local Store store;
  const uint32_t now = forks.load(std::memory_order_relaxed);
  if (store.bytes.size() - store.used < size || store.drawn_in != now) {
    DrawFromSystem(store.bytes.data(), store.bytes.size());
    store.used = 0;
    store.drawn_in = now;
  }
  std::memcpy(bytes, store.bytes.data() + store.used, size);
  store.used += size;
}

}  // namespace

std::optional<HopId> HopId::Parse(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  HopId id;
  if (!internal::ParseLowerHex<kBytes>(text.data(), id.bytes_.data())) {
    return std::nullopt;
  }
  return id;
}

std::string HopId::ToString() const {
  std::string text(kTextSize, '\0');
  Write(text.data());
  return text;
}

void HopId::Write(char text[kTextSize]) const {
  internal::WriteLowerHex(bytes_.data(), kBytes, text);
}

HopIds::HopIds() { Draw(reinterpret_cast<uint8_t*>(&prefix_), sizeof prefix_); }

HopId HopIds::Next() const {
  std::array<uint8_t, HopId::kBytes> bytes;
  std::memcpy(bytes.data(), &prefix_, sizeof prefix_);
  Draw(bytes.data() + sizeof prefix_, bytes.size() - sizeof prefix_);
  return HopId(bytes);
}

}  // namespace tether::sidecar
