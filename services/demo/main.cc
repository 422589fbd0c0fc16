// SPDX-License-Identifier: Apache-2.0
//
// The demo: runs three services as processes, sends one request through all of
// them, and shows what each hop saw.

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "services/demo/chain.h"
#include "services/demo/html.h"
#include "services/demo/request.h"
#include "services/demo/request_story.h"
#include "services/demo/stop_signals.h"
#include "services/demo/story.h"
#include "services/demo/waterfall.h"
#include "services/flag_types.h"
#include "services/proto_json.h"
#include "services/stdout_line.h"
#include "shop/v1/demo.pb.h"
#include "shop/v1/orders.pb.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

ABSL_FLAG(std::optional<shop::Timeout>, deadline, std::nullopt,
          "The request's deadline (default: 1s; with --track: 5s).");
ABSL_FLAG(shop::Delay, inventory_delay, shop::Delay{absl::Milliseconds(5)},
          "How long inventory takes to answer.");
ABSL_FLAG(shop::Timeout, inventory_timeout,
          shop::Timeout{absl::Milliseconds(50)},
          "How long orders waits for inventory.");
ABSL_FLAG(std::optional<shop::Timeout>, cancel_after, std::nullopt,
          "When the client gives up (default: never).");
ABSL_FLAG(bool, fallback, true,
          "Whether orders answers with default stock when inventory is too "
          "slow. With --nofallback it returns the error.");
ABSL_FLAG(bool, track, false,
          "Follow the order's courier, a stream, instead of getting the "
          "order's page.");
ABSL_FLAG(std::optional<shop::TraceId>, trace_id, std::nullopt,
          "32 lower-case hex digits (default: random).");
ABSL_FLAG(std::string, html, "",
          "Write the result into this file, too, as a page for a browser.");
ABSL_FLAG(bool, json, false,
          "Print the result as one JSON object, too, in the last line.");

namespace shop {
namespace {

// How long hops may take after the call's end to report what they saw. A hop
// that keeps working takes longer, and is left out.
constexpr absl::Duration kHopsTimeout = absl::Seconds(2);

// Uses a new trace, or the trace from the flag.
tether::TraceContext TraceFromFlags() {
  tether::TraceContext trace = tether::NewTrace(/*sampled=*/true);
  if (const auto id = absl::GetFlag(FLAGS_trace_id)) {
    const auto given = tether::ParseTraceParent(
        absl::StrCat("00-", id->hex, "-", trace.SpanIdHex(), "-01"));
    if (given) trace = *given;
  }
  return trace;
}

void PrintPosition(const v1::CourierPosition& position) {
  WriteStdoutLine(absl::StrFormat(
      "courier %3d: %.4f N, %.4f E, %d m to go", position.sequence(),
      position.latitude_degrees(), position.longitude_degrees(),
      position.remaining_metres()));
}

void PrintResult(const DemoStory& story) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool color =
      isatty(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0');
  const std::string blame = Blame(story);
  WriteStdoutLine(absl::StrCat(Waterfall(story, color), Sentence(story),
                               blame.empty() ? "" : "\n", blame));
  if (!absl::GetFlag(FLAGS_json)) return;
  const std::string json = ToJson(story.result);
  if (!json.empty()) WriteStdoutLine(json);
}

absl::Status WritePage(const DemoStory& story) {
  const std::string path = absl::GetFlag(FLAGS_html);
  if (path.empty()) return absl::OkStatus();
  errno = 0;
  std::ofstream file(path);
  file << HtmlPage(story);
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("can't write --html=", path, ": ", std::strerror(errno)));
}

// True if the request ended as the flags require.
absl::Status CheckResult(const DemoStory& story) {
  const v1::DemoResult& result = story.result;
  const auto code = static_cast<absl::StatusCode>(result.status_code());
  if (code != absl::StatusCode::kOk &&
      code != absl::StatusCode::kDeadlineExceeded &&
      code != absl::StatusCode::kCancelled) {
    return absl::Status(code, result.status_message());
  }
  if (code == absl::StatusCode::kOk &&
      result.hops_size() < story.expected_hops) {
    return absl::InternalError("not every hop reported what it saw");
  }
  return absl::OkStatus();
}

absl::Status RunDemo(const tether::Context& ctx) {
  ChainOptions chain_options;
  chain_options.inventory_delay = absl::GetFlag(FLAGS_inventory_delay).value;
  chain_options.inventory_timeout =
      absl::GetFlag(FLAGS_inventory_timeout).value;
  chain_options.fallback = absl::GetFlag(FLAGS_fallback);
  Chain chain;
  if (absl::Status status = chain.Start(ctx, chain_options); !status.ok()) {
    return status;
  }

  DemoStory story;
  story.order_id = "1042";
  story.track = absl::GetFlag(FLAGS_track);
  story.expected_hops = story.track ? 2 : 3;
  story.deadline = absl::GetFlag(FLAGS_deadline)
                       .value_or(Timeout{absl::Seconds(story.track ? 5 : 1)})
                       .value;
  story.inventory_timeout = chain_options.inventory_timeout;
  if (const auto cancel_after = absl::GetFlag(FLAGS_cancel_after)) {
    story.cancel_after = cancel_after->value;
  }

  RequestOptions options;
  options.address = chain.address();
  options.order_id = story.order_id;
  options.deadline = story.deadline;
  options.cancel_after = story.cancel_after;
  if (story.track) {
    options.on_position = [&story](const v1::CourierPosition& position) {
      story.result.set_positions(story.result.positions() + 1);
      PrintPosition(position);
    };
  }
  const tether::TraceContext trace = TraceFromFlags();
  const RequestResult request = SendRequest(
      tether::WithRequestId(tether::WithTrace(ctx, trace),
                            absl::StrCat("demo-", trace.SpanIdHex())),
      options);

  auto [hops_ctx, cancel] =
      tether::WithTimeout(tether::Background(), kHopsTimeout);
  for (const v1::HopEvent& hop :
       chain.ReadHops(hops_ctx, story.expected_hops)) {
    *story.result.add_hops() = hop;
  }
  const absl::Status stopped = chain.Stop();
  story.result.set_trace_id(trace.TraceIdHex());
  AddResult(request, &story);
  PrintResult(story);

  absl::Status result = CheckResult(story);
  result.Update(stopped);
  result.Update(WritePage(story));
  return result;
}

int Main(int argc, char** argv) {
  ParseFlagsOrExit(argc, argv,
                   "Runs storefront, orders and inventory, and sends one "
                   "request through them.");
  StopSignals signals;
  const absl::Status status = RunDemo(signals.ctx());
  if (signals.received() != 0) return 128 + signals.received();
  if (status.ok()) return 0;
  std::cerr << "ERROR: " << status.message() << std::endl;
  return 1;
}

}  // namespace
}  // namespace shop

int main(int argc, char** argv) { return shop::Main(argc, argv); }
