// SPDX-License-Identifier: Apache-2.0

#include "services/hop_event.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "services/proto_json.h"
#include "services/stdout_line.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace shop {
namespace {

// Rounds to whole microseconds. Smaller fractions are noise.
double Milliseconds(absl::Duration duration) {
  return std::round(absl::ToDoubleMicroseconds(duration)) / 1000;
}

const char* OutcomeOf(int code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return "ok";
    case grpc::StatusCode::CANCELLED:
      return "cancelled";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "deadline_exceeded";
    default:
      return "error";
  }
}

}  // namespace

HopSink HopsToStdout() {
  return [](const v1::HopEvent& event) {
    const std::string json = ToJson(event);
    if (!json.empty()) WriteStdoutLine(json);
  };
}

HopRecorder::HopRecorder(const HopSink& sink, absl::string_view service,
                         absl::string_view method, tether::Context ctx)
    : sink_(sink),
      ctx_(std::move(ctx)),
      start_(std::chrono::steady_clock::now()) {
  event_.set_service(service.data(), service.size());
  event_.set_method(method.data(), method.size());
  if (const tether::TraceContext* trace = tether::TraceOf(ctx_)) {
    event_.set_trace_id(trace->TraceIdHex());
  }
  if (const std::string* request_id = tether::RequestIdOf(ctx_)) {
    event_.set_request_id(*request_id);
  }
  // On Linux this is CLOCK_MONOTONIC, which all processes of a machine share.
  event_.set_started_ms(
      Milliseconds(absl::FromChrono(start_.time_since_epoch())));
  const absl::Duration remaining = ctx_.Remaining();
  if (remaining < absl::InfiniteDuration()) {
    event_.set_remaining_ms_on_arrival(Milliseconds(remaining));
  }
  event_.set_outcome("error");
}

HopRecorder::~HopRecorder() {
  event_.set_elapsed_ms(Milliseconds(
      absl::FromChrono(std::chrono::steady_clock::now() - start_)));
  if (sink_) sink_(event_);
}

grpc::Status HopRecorder::End(grpc::Status status) {
  const absl::Status err = ctx_.Err();
  // Both enums use the numbers of google.rpc.Code.
  event_.set_outcome(
      OutcomeOf(err.ok() ? status.error_code() : err.raw_code()));
  return status;
}

}  // namespace shop
