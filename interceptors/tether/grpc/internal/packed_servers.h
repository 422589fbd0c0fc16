// SPDX-License-Identifier: Apache-2.0
//
// Whether the servers of a channel understand packed headers
// (ClientOptions::packed).
//
// A call asks with an empty packed header beside its plain ones, and a server
// that unpacks says so in the trailers of its answer. One call a second asks,
// since a server may be replaced by an older one, and a channel may have
// several servers. A server that doesn't unpack would lose all values of a
// packed call, so in doubt headers are plain: a "yes" counts for ten seconds, a
// "no" for a minute. Both count from their question, so a late answer counts
// for less.
//
// Thread safety: any thread. Calls only read, except those that ask.

#ifndef TETHER_GRPC_INTERNAL_PACKED_SERVERS_H_
#define TETHER_GRPC_INTERNAL_PACKED_SERVERS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <string_view>

#include "tether/internal/nanos.h"
#include "tether/propagation/internal/packed_headers.h"

namespace tether::internal {

class PackedServers {
 public:
  enum class Form {
    kPlain,   // one header for each value
    kAsk,     // as kPlain, and an empty packed header
    kPacked,  // one header for all values
  };

  // How the call that is sent at `now` has to write its headers. `now` is on
  // the real clock.
  Form FormAt(Nanos now) {
    Nanos due = next_question_.load(std::memory_order_relaxed);
    if (now >= due && next_question_.compare_exchange_strong(
                          due, now + kPeriod, std::memory_order_relaxed)) {
      return Form::kAsk;
    }
    const bool packed = now < yes_until_.load(std::memory_order_relaxed) &&
                        now >= no_until_.load(std::memory_order_relaxed);
    return packed ? Form::kPacked : Form::kPlain;
  }

  // A call that asked at `asked` has ended with `code`. `unpacks`: the trailers
  // say so.
  void OnAnswer(Nanos asked, bool unpacks, grpc::StatusCode code) {
    if (unpacks) return Extend(yes_until_, asked + kYes);
    // With these codes, it may be that no server has answered.
    switch (code) {
      case grpc::StatusCode::CANCELLED:
      case grpc::StatusCode::DEADLINE_EXCEEDED:
      case grpc::StatusCode::UNAVAILABLE:
        return;
      default:
        Extend(no_until_, asked + kNo);
    }
  }

 private:
  static constexpr Nanos kPeriod = kSecond;
  static constexpr Nanos kYes = 10 * kSecond;
  static constexpr Nanos kNo = 60 * kSecond;

  static void Extend(std::atomic<Nanos>& until, Nanos time) {
    Nanos now = until.load(std::memory_order_relaxed);
    while (now < time &&
           !until.compare_exchange_weak(now, time, std::memory_order_relaxed)) {
    }
  }

  std::atomic<Nanos> next_question_{kLongPast};
  std::atomic<Nanos> yes_until_{kLongPast};
  std::atomic<Nanos> no_until_{kLongPast};
};

// True if these trailing metadata of an answer say that its server unpacks.
inline bool SaysThatItUnpacks(
    const std::multimap<grpc::string_ref, grpc::string_ref>& trailers) {
  const auto found = trailers.find(
      grpc::string_ref(kPackedHeader.data(), kPackedHeader.size()));
  return found != trailers.end() &&
         std::string_view(found->second.data(), found->second.size()) ==
             kPackedVersion;
}

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_PACKED_SERVERS_H_
