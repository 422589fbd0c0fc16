// SPDX-License-Identifier: Apache-2.0
//
// Records one call of a client: its times, its outcome and its report.

#ifndef TETHER_GRPC_INTERNAL_CLIENT_CALL_RECORD_H_
#define TETHER_GRPC_INTERNAL_CLIENT_CALL_RECORD_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/internal/call_outcome.h"
#include "tether/grpc/internal/hop_record.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/internal/nanos.h"
#include "tether/v1/budget_report.pb.h"

namespace tether::internal {

// The record of a call on behalf of `ctx`. If `ctx` is the context of a request
// to this server, the hop's own record (HopRecord) gets the call, too.
//
// Thread safety: report(), reason() and OnContextEnd may be called on any
// thread at any time; the other functions not concurrently with each other.
class ClientCallRecord {
 public:
  // `ctx` must outlive this. `label`: see CallOptions. `keeps_report`: report()
  // will be called. `in_hop_record`: whether the hop's record gets the call.
  ClientCallRecord(const Context& ctx, std::string_view label,
                   bool keeps_report, bool in_hop_record);

  // Ends a call that never got a status, such as a stream that the application
  // abandoned.
  ~ClientCallRecord();

  ClientCallRecord(const ClientCallRecord&) = delete;
  ClientCallRecord& operator=(const ClientCallRecord&) = delete;

  // `method`: "/package.Service/Method". `limits` are those of the server's
  // report, and must outlive this. Must be called before OnStart.
  void Prepare(std::string_view method, const ReportLimits& limits);

  // The call begins, maybe long after it was prepared. Must be called once.
  // `now` is the time on the real steady clock, and `own_left` the time until
  // the ClientContext's own deadline; kNever if it has none.
  void OnStart(Nanos now, Nanos own_left);

  // The context has ended.
  void OnContextEnd();

  // The context had ended before anything was sent.
  void OnNotSent() { sent_ = false; }

  // The target of the channel. Must be called before OnStart; `target` must
  // stay valid as long as this.
  void SetTarget(std::string_view target) { target_ = target; }

  // For Inspect().
  struct UnderWay {
    Context ctx;
    char method[127];
    char target[127];
    char label[64];
    uint8_t method_size;
    uint8_t target_size;
    uint8_t label_size;
    Nanos start;
    Nanos left;  // then, until the nearer deadline
  };
  // Writes what is known of the call into `copy`, if it has begun and is not
  // over; else returns false. Allocates nothing. Any thread, while this exists.
  bool CopyIfUnderWay(UnderWay& copy) const noexcept;

  // The application has called TryCancel. Any thread.
  void OnTryCancel() { tried_to_cancel_ = true; }

  // The headers are about to be sent. They give the callee `reserve` less time
  // than the call has, which is `left`.
  void OnTimeoutSent(Nanos reserve, Nanos left) {
    reserve_ = reserve;
    left_when_sent_ = left;
  }

  // The outcome of the RPC `rpc`, whose `status` has arrived. The first call
  // decides it, and later ones return the same.
  const ClientOutcome& Decide(const grpc::ClientContext& rpc,
                              const ReceivedMetadata::Map& trailing_metadata,
                              const grpc::Status& status);

  // The status has arrived. Keeps the server's report, and returns the status
  // for the application. If the context ended the call, that is the context's
  // status. If a deadline passed, its message names the hops that used the
  // time. The parameters are those of Decide.
  grpc::Status OnStatus(const grpc::ClientContext& rpc,
                        const ReceivedMetadata::Map& trailing_metadata,
                        grpc::Status status);

  // See EndReasonOf(const ClientCall&).
  EndReason reason() const;

  // See ClientCall::report().
  v1::CallReport report() const;

 private:
  // OnStatus, but for telling the observers. The call ended at `end`.
  void Receive(const grpc::ClientContext& rpc,
               const ReceivedMetadata::Map& trailing_metadata, int64_t end,
               grpc::Status& status);
  void TellObservers(grpc::StatusCode code, EndReason reason,
                     int64_t spent_us) const noexcept;

  // A deadline or the end of the context ends a call, although its status may
  // be read long after that.
  int64_t EndTime(int64_t now_us) const;
  v1::CallReport NamesAndTimes(int64_t duration_us) const;
  // True if the call took a part of its time that is worth explaining.
  bool TookLong(int64_t duration_us) const;

  // What Decide has found out.
  struct Decision {
    std::optional<v1::BudgetReport> callee;  // until OnStatus takes it
    ClientOutcome outcome;
  };

  const Context& context_;
  const std::string label_;
  const bool keeps_report_;
  // The record of the hop that makes the call; null if it doesn't get the call.
  const HopRecord* const hop_;

  std::string_view method() const { return {method_.data(), method_.size()}; }

  // Set before the call starts. A copy, because the name that a GenericStub
  // passes to gRPC is valid only during the stub's method.
  absl::InlinedVector<char, 64> method_;
  uint64_t id_in_hop_ = 0;
  int64_t start_us_ = 0;
  Nanos left_ = kNever;          // until the nearer deadline
  bool own_is_earlier_ = false;  // see ReceivedEnd
  Nanos reserve_ = 0;
  Nanos left_when_sent_ = kNever;
  bool sent_ = true;
  std::string_view target_;
  const ReportLimits* limits_ = nullptr;

  std::unique_ptr<Decision> decision_;
  bool has_status_ = false;

  // While kUnderWay, what CopyIfUnderWay reads is constant.
  enum class Phase : uint8_t { kPrepared, kUnderWay, kOver };
  std::atomic<Phase> phase_{Phase::kPrepared};

  std::atomic<bool> tried_to_cancel_{false};
  std::atomic<int64_t> context_end_us_{0};  // 0: it hasn't ended

  // After the status has arrived, one of these is set, once. Most calls succeed
  // without a report; they keep only the duration. -1: not set.
  std::atomic<const v1::CallReport*> report_{nullptr};  // owned
  std::atomic<int64_t> duration_us_{-1};
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CLIENT_CALL_RECORD_H_
