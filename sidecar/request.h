// SPDX-License-Identifier: Apache-2.0
//
// Request: one request that the ingress has passed to the application, while
// calls may be made for it. RequestEnd: how it ended.

#ifndef TETHER_SIDECAR_REQUEST_H_
#define TETHER_SIDECAR_REQUEST_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "sidecar/hop_id.h"
#include "tether/context.h"

namespace tether::sidecar {

enum class RequestEnd : uint8_t {
  kCompleted = 1,  // it was answered: its calls may run on
  kCancelled = 2,  // the caller left, its connection broke, the server stops
  kDeadline = 3,   // its deadline passed
};

// How the request of `ctx` ended; nullopt while `ctx` has not ended. Thread
// safety: any thread.
//
// EndReasonOf(ctx) decides: kCompleted is kCompleted; a reason that is a
// deadline, and every other end with DEADLINE_EXCEEDED, is kDeadline; all else
// is kCancelled.
std::optional<RequestEnd> RequestEndOf(const Context& ctx);

// The status of a call that is ended or refused because the request of `ctx`
// ended: OK if RequestEndOf(ctx) is kCompleted or nullopt, else CANCELLED or
// DEADLINE_EXCEEDED, with the message that tether's interceptors would give
// (that of Err(), then that of Cause()).
absl::Status EndStatusOf(const Context& ctx);

// Its context is the one truth about its end: a request has ended when its
// context has. Only for a context that never ends does Correlator::End decide.
//
// Thread safety: any thread. Lifetime: shared. Whoever holds it keeps the
// context, so hold it no longer than the call that is made for the request.
class Request {
 public:
  Request(const HopId& id, const Context& ctx) : id_(id), context_(ctx) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  const HopId& id() const { return id_; }

  // To learn of the end without a race, register a callback here with
  // AfterFunc: it runs even if the request ends between Find and AfterFunc.
  // CutWhenAllEnd (request_end.h) does so.
  const Context& context() const { return context_; }

  // How it ended; nullopt while it is alive. Never changes once it is set: the
  // first end counts, and all threads see the same one.
  std::optional<RequestEnd> ended() const;

  // OK while it is alive and if it was completed; else why it ended
  // (EndStatusOf).
  absl::Status status() const;

 private:
  friend class Correlator;
  template <typename Key>
  friend class NameIndex;

  static constexpr size_t kIndexes = 3;

  // The entry of an index that lists this request, and the place in its list.
  // Both are guarded by the lock of the index's shard that has the entry;
  // `entry` and `shard` don't change from Begin to End.
  struct Listing {
    void* entry = nullptr;  // null: not in this index
    uint32_t shard = 0;
    uint32_t place = 0;
  };

  // Ends it as its context says or, if that has not ended, by `otherwise`.
  // Returns how it ended.
  RequestEnd End(RequestEnd otherwise) const;
  // Only the first of all ends counts; returns that one.
  RequestEnd Decide(RequestEnd end) const;

  const HopId id_;
  const Context context_;
  mutable std::atomic<uint8_t> end_{0};  // a RequestEnd, once one is known
  std::atomic<bool> closed_{false};      // Correlator::End was called
  std::array<Listing, kIndexes> listings_;
};

// The requests for which a call may be made. Usually one.
using Requests = absl::InlinedVector<std::shared_ptr<Request>, 1>;

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_REQUEST_H_
