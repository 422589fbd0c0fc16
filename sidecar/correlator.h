// SPDX-License-Identifier: Apache-2.0
//
// Correlator: says for which request of the ingress a call of the egress is
// made.
//
// The rules, in this order:
//  a. The call carries the id of a request that is alive: it is made for that
//     request (kAlive).
//  b. It carries the id of a request that has ended. By completion: the call is
//     late (kLate) and runs on its own deadline. By a cancel or a deadline: it
//     is refused with that status (kRefused).
//  c. It carries no id, but the trace id of requests: it is made for one of
//     those that are alive now, and it isn't known which. If none is alive: it
//     is late if any was completed, else refused with the status of the last.
//  d. It carries neither, but their x-request-id: as (c).
//  e. Else nothing is known of it (kNone).
// A call that carries an id never gets to (c) and (d), even if the id is not
// known: it was made for another request than those that these would find. If
// it carries several ids, their requests are candidates as in (c).
//
// A request that has ended is kept as a tombstone: its names, how it ended, the
// status; not its context. Tombstones live for Options::tombstone_life. Then
// their names are unknown. Over the bound, the oldest go first.
//
// Thread safety: any thread. Each function takes a lock of one shard for a
// moment, once for each name. Nothing runs in the background: expired
// tombstones are ignored by Find and removed by later calls.

#ifndef TETHER_SIDECAR_CORRELATOR_H_
#define TETHER_SIDECAR_CORRELATOR_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "sidecar/hop_id.h"
#include "sidecar/name_index.h"
#include "sidecar/request.h"
#include "tether/clock.h"
#include "tether/context.h"

namespace tether::sidecar {

// What a call of the application carries. Views; used only during Find.
struct RequestNames {
  // Of all its headers, in any order, repetitions allowed.
  absl::Span<const HopId> ids;
  // The 32 hex digits in its traceparent; anything else counts as none.
  std::string_view trace_id;
  std::string_view request_id;
};

class Correlator {
 public:
  using Request = sidecar::Request;

  // More requests than this are too many to be candidates for one call: the
  // call is not correlated.
  static constexpr size_t kMaxCandidates = Candidates::kMax;

  // A longer x-request-id counts as none, as in RequestIdPropagator.
  static constexpr size_t kMaxRequestIdBytes = 128;

  struct Options {
    // The most requests that are alive, and the most tombstones. If it is 1,024
    // or more, tombstones are bounded per shard (a sixteenth each), so a shard
    // may drop some a little earlier.
    size_t max_entries = 65536;
    absl::Duration tombstone_life = absl::Seconds(60);
    Clock* clock = &Clock::Real();  // outlives the Correlator
  };

  // Which rule found the requests: (a) and (b), (c), or (d).
  enum class By : uint8_t { kId, kTrace, kRequestId };

  struct Match {
    enum class Kind : uint8_t { kNone, kAlive, kLate, kRefused };

    Kind kind = Kind::kNone;
    By by = By::kId;  // not for kNone
    // kAlive: those that were alive when Find looked. Each at most once.
    Requests requests;
    absl::Status status;  // kRefused
    // Why kNone; all false: the call carries no known name.
    bool foreign = false;   // only ids of other processes
    bool expired = false;   // an id of this process, ended long ago
    bool too_many = false;  // more than kMaxCandidates
  };

  // All counts but the first two only grow. by_id to none add up to the calls
  // of Find.
  struct Stats {
    int64_t alive = 0;  // begun and not ended by End
    int64_t tombstones = 0;

    int64_t overflowed = 0;  // Begin returned null

    int64_t by_id = 0;  // kAlive
    int64_t by_trace = 0;
    int64_t by_request_id = 0;
    int64_t late = 0;
    int64_t refused = 0;
    int64_t none = 0;

    int64_t foreign = 0;  // parts of `none`
    int64_t expired = 0;
    int64_t too_many_candidates = 0;
  };

  // `ids` makes the ids that Begin gets. Its copy here tells foreign ones.
  Correlator(const HopIds& ids, Options options);
  explicit Correlator(const HopIds& ids) : Correlator(ids, Options()) {}
  Correlator(const Correlator&) = delete;
  Correlator& operator=(const Correlator&) = delete;
  // Requests may outlive it.
  ~Correlator();

  // A request has arrived. `id` is new. `trace_id` and `request_id` may be "",
  // or anything that a caller sends; several requests may have the same. Null
  // if there are max_entries alive.
  //
  // It is alive until `ctx` ends. End must be called some time later, or its
  // entry and its context are kept forever.
  [[nodiscard]] std::shared_ptr<Request> Begin(const HopId& id,
                                               std::string_view trace_id,
                                               std::string_view request_id,
                                               const Context& ctx);

  // The request is over, and its context has ended, which says how. If the
  // context has not ended, `otherwise` says how.
  //
  // `status`: what refused calls get, if the request was cancelled or its
  // deadline passed. OK: Request::status().
  //
  // After this returns, Find does not return the request, and the table holds
  // neither it nor its context. A second call for it has no effect. Null is
  // allowed, for a Begin that returned it.
  void End(const std::shared_ptr<Request>& request,
           RequestEnd otherwise = RequestEnd::kCompleted,
           absl::Status status = absl::OkStatus());

  Match Find(const RequestNames& names);

  // O(expired tombstones).
  Stats stats();

 private:
  using TraceKey = std::array<uint8_t, 16>;

  // What the counters count.
  enum Count : uint8_t {
    kById,
    kByTrace,
    kByRequestId,
    kLate,
    kRefused,
    kNone,
    kForeign,
    kExpired,
    kTooMany,
    kOverflowed,
    kCounts,
  };
  // One for few threads, so that they don't pass a cache line around.
  struct alignas(128) Cell {
    std::array<std::atomic<int64_t>, kCounts> counts = {};
  };

  internal::Nanos Now() const { return clock_.SteadyNanos(); }
  void Add(Count count);
  int64_t Sum(Count count) const;
  void CountMatch(const Match& match);

  void FindIds(absl::Span<const HopId> ids, internal::Nanos now, Match& match);
  // Sets `match` from `candidates`, which were found.
  static void Judge(Candidates& candidates, By by, Match& match);

  const HopIds ids_;
  Clock& clock_;
  const size_t max_entries_;

  std::atomic<size_t> alive_{0};
  NameIndex<HopId> by_id_;
  NameIndex<TraceKey> by_trace_;
  NameIndex<std::string> by_request_id_;
  std::array<Cell, 8> cells_;
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CORRELATOR_H_
