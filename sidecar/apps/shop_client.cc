// SPDX-License-Identifier: Apache-2.0
//
// Asks a storefront for a page, as a client with tether, and prints what it got
// as one line of JSON: {"code", "message", "availability", "sent_ms", "left_ms"
// (when the client left), "ended_ms", "report"}. All times are of the machine's
// monotonic clock.

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shop/v1/storefront.grpc.pb.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/propagation/trace_context.h"

ABSL_FLAG(std::string, storefront, "", "host:port of the storefront.");
ABSL_FLAG(absl::Duration, deadline, absl::Seconds(1), "The call's deadline.");
ABSL_FLAG(absl::Duration, cancel_after, absl::InfiniteDuration(),
          "When the client leaves.");
ABSL_FLAG(bool, trace, true, "Whether the call belongs to a trace.");

namespace shop {
namespace {

double NowMs() {
  return absl::ToDoubleMilliseconds(
      absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()));
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c == '\n' ? ' ' : c);
  }
  return quoted + "\"";
}

int Main() {
  const auto channel = tether::CreateChannel(
      absl::GetFlag(FLAGS_storefront), grpc::InsecureChannelCredentials());
  const auto stub = v1::Storefront::NewStub(channel);
  channel->WaitForConnected(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));

  tether::Context ctx = tether::Background();
  if (absl::GetFlag(FLAGS_trace)) {
    ctx = tether::WithTrace(ctx, tether::NewTrace(/*sampled=*/true));
  }
  const double sent_ms = NowMs();
  auto [call_ctx, cancel] =
      tether::WithTimeout(ctx, absl::GetFlag(FLAGS_deadline));
  const tether::CancelFunc& leave = cancel;
  auto [patience, stop] = tether::WithTimeout(
      tether::Background(), absl::GetFlag(FLAGS_cancel_after));
  double left_ms = 0;
  tether::Registration registration =
      tether::AfterFunc(patience, [&leave, &left_ms] {
        left_ms = NowMs();
        leave(absl::CancelledError("the client left"));
      });

  tether::ClientCall call(call_ctx);
  v1::GetOrderPageRequest request;
  request.set_order_id("1042");
  v1::GetOrderPageResponse response;
  const grpc::Status status = stub->GetOrderPage(&call, request, &response);
  const double ended_ms = NowMs();

  std::string report;
  if (!google::protobuf::util::MessageToJsonString(call.report(), &report)
           .ok()) {
    return 1;
  }
  std::printf(
      R"({"code": %d, "message": %s, "availability": %s, "sent_ms": %.3f, )"
      R"("left_ms": %.3f, "ended_ms": %.3f, "report": %s})"
      "\n",
      static_cast<int>(status.error_code()),
      Quoted(status.error_message()).c_str(),
      Quoted(response.availability()).c_str(), sent_ms, left_ms, ended_ms,
      report.c_str());
  return 0;
}

}  // namespace
}  // namespace shop

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return shop::Main();
}
