// SPDX-License-Identifier: Apache-2.0
//
// The demo of services that don't know tether: sends one request through a
// Node, a Python and a C++ service, each behind a tether-sidecar, and the same
// request without the sidecars. "./demo.sh --sidecar" starts it.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/demo/request.h"
#include "services/demo/request_story.h"
#include "services/demo/sidecar_chain.h"
#include "services/demo/stop_signals.h"
#include "services/demo/story.h"
#include "services/demo/waterfall.h"
#include "services/flag_types.h"
#include "services/proto_json.h"
#include "services/stdout_line.h"
#include "shop/v1/demo.pb.h"
#include "tether/context.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

ABSL_FLAG(shop::Timeout, deadline, shop::Timeout{absl::Milliseconds(200)},
          "The request's deadline.");
ABSL_FLAG(shop::Delay, inventory_delay, shop::Delay{absl::Seconds(2)},
          "How long inventory takes to answer.");
ABSL_FLAG(std::optional<shop::Timeout>, cancel_after, std::nullopt,
          "When the client gives up (default: never).");
ABSL_FLAG(std::string, run, "sidecar/apps/run.sh",
          "The program that starts the Node and the Python service.");
ABSL_FLAG(bool, json, false,
          "Print the two results as JSON objects, too, in the last lines.");

namespace shop {
namespace {

// How long hops may take after inventory's answer to report what they saw.
constexpr absl::Duration kHopsTimeout = absl::Seconds(5);

// Starts the services, sends one request, and stops them.
absl::Status RunRequest(const tether::Context& ctx, bool sidecars,
                        DemoStory* story) {
  SidecarChainOptions chain_options;
  chain_options.run = absl::GetFlag(FLAGS_run);
  chain_options.inventory_delay = absl::GetFlag(FLAGS_inventory_delay).value;
  chain_options.sidecars = sidecars;
  SidecarChain chain;
  const absl::Status started = chain.Start(ctx, chain_options);
  if (!started.ok()) return started;

  story->order_id = "1042";
  story->deadline = absl::GetFlag(FLAGS_deadline).value;
  story->inventory_timeout = absl::InfiniteDuration();  // nobody sets one
  if (const auto cancel_after = absl::GetFlag(FLAGS_cancel_after)) {
    story->cancel_after = cancel_after->value;
  }
  RequestOptions options;
  options.address = chain.address();
  options.order_id = story->order_id;
  options.deadline = story->deadline;
  options.cancel_after = story->cancel_after;
  const tether::TraceContext trace = tether::NewTrace(/*sampled=*/true);
  const RequestResult request = SendRequest(
      tether::WithRequestId(tether::WithTrace(ctx, trace),
                            absl::StrCat("demo-", trace.SpanIdHex())),
      options);

  auto [hops_ctx, cancel] =
      tether::WithTimeout(ctx, chain_options.inventory_delay + kHopsTimeout);
  for (const v1::HopEvent& hop : chain.ReadHops(hops_ctx)) {
    *story->result.add_hops() = hop;
  }
  story->result.set_trace_id(trace.TraceIdHex());
  AddResult(request, story);
  return chain.Stop();
}

// How long inventory worked after the client had its result.
double OvertimeMs(const DemoStory& story) {
  double latest = 0;
  for (const v1::HopEvent& hop : story.result.hops()) {
    if (hop.service() == "inventory") {
      latest = hop.started_ms() + hop.elapsed_ms();
    }
  }
  return std::max(latest - story.started_ms - story.result.elapsed_ms(), 0.0);
}

void Print(const char* title, const DemoStory& story) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool color =
      isatty(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0');
  const std::string blame = Blame(story);
  WriteStdoutLine(absl::StrCat(title, "\n", Waterfall(story, color),
                               Sentence(story), blame.empty() ? "" : "\n",
                               blame));
}

// Returns an error unless the request ended as the flags require.
absl::Status CheckResult(const DemoStory& story) {
  const v1::DemoResult& result = story.result;
  const auto code = static_cast<absl::StatusCode>(result.status_code());
  if (code != absl::StatusCode::kOk &&
      code != absl::StatusCode::kDeadlineExceeded &&
      code != absl::StatusCode::kCancelled) {
    return absl::Status(code, result.status_message());
  }
  return absl::OkStatus();
}

absl::Status RunDemo(const tether::Context& ctx) {
  DemoStory with;
  absl::Status status = RunRequest(ctx, /*sidecars=*/true, &with);
  if (!status.ok()) return status;
  Print(
      "storefront in Node, orders in Python, inventory in C++, each behind a "
      "sidecar:",
      with);

  DemoStory without;
  status = RunRequest(ctx, /*sidecars=*/false, &without);
  if (!status.ok()) return status;
  Print("\nThe same services without sidecars:", without);
  if (OvertimeMs(without) > 0) {
    WriteStdoutLine(absl::StrCat(
        "inventory worked for another ", FormatMs(OvertimeMs(without)),
        " after the client's call had ended; behind its "
        "sidecar, for ",
        FormatMs(OvertimeMs(with)), "."));
  }
  if (absl::GetFlag(FLAGS_json)) {
    WriteStdoutLine(ToJson(with.result));
    WriteStdoutLine(ToJson(without.result));
  }
  status.Update(CheckResult(with));
  status.Update(CheckResult(without));
  return status;
}

int Main(int argc, char** argv) {
  ParseFlagsOrExit(argc, argv,
                   "Runs a Node, a Python and a C++ service behind sidecars, "
                   "and sends one request through them; then the same without "
                   "sidecars.");
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
