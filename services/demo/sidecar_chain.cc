// SPDX-License-Identifier: Apache-2.0

#include "services/demo/sidecar_chain.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "services/demo/chain.h"
#include "services/demo/request.h"

namespace shop {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(20);

// A service and its sidecar each need the other's port before they start, so
// one of the ports is chosen for them.
int FreePort() {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound =
      bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) ==
          0;
  close(listener);
  return bound ? ntohs(address.sin_port) : 0;
}

// Returns the rest of the next line that begins with `prefix`.
absl::Status ReadAfter(const tether::Context& ctx,
                       tether::testing::ChildProcess& process,
                       absl::string_view prefix, std::string* rest) {
  auto [start_ctx, cancel] = tether::WithTimeout(ctx, kStartTimeout);
  while (const std::optional<std::string> line = process.ReadLine(start_ctx)) {
    absl::string_view text = *line;
    if (absl::ConsumePrefix(&text, prefix)) {
      *rest = std::string(text);
      return absl::OkStatus();
    }
  }
  if (ctx.Done()) return ctx.Cause();
  return absl::UnavailableError(absl::StrCat(process.name(), " did not start"));
}

}  // namespace

absl::Status SidecarChain::Start(const tether::Context& ctx,
                                 const SidecarChainOptions& options) {
  const std::string programs = absl::StrCat(BinFolder(), "/sidecar/");
  inventory_.command = {
      absl::StrCat(programs, "apps/plain_inventory"),
      absl::StrCat("--delay=", absl::FormatDuration(options.inventory_delay))};
  orders_.command = {options.run, "orders"};
  orders_.callee_flag = "--inventory";
  storefront_.command = {options.run, "storefront"};
  storefront_.callee_flag = "--orders";
  for (Service* service : {&inventory_, &orders_, &storefront_}) {
    const absl::Status status =
        options.sidecars
            ? StartBehindSidecar(ctx, *service,
                                 absl::StrCat(programs, "tether-sidecar"))
            : StartApp(ctx, *service, address_, 0, &address_);
    if (!status.ok()) return status;
  }
  return WarmUp(ctx);
}

absl::Status SidecarChain::StartApp(const tether::Context& ctx,
                                    Service& service, const std::string& callee,
                                    int port, std::string* address) {
  std::vector<std::string> flags(service.command.begin() + 1,
                                 service.command.end());
  flags.push_back(absl::StrCat("--port=", port));
  if (!service.callee_flag.empty()) {
    flags.push_back(absl::StrCat(service.callee_flag, "=", callee));
  }
  absl::Status status = service.app.Start(service.command.front(), flags);
  std::string listening;
  status.Update(status.ok() ? ReadAfter(ctx, service.app, "listening on port ",
                                        &listening)
                            : status);
  *address = absl::StrCat("127.0.0.1:", listening);
  return status;
}

absl::Status SidecarChain::StartBehindSidecar(const tether::Context& ctx,
                                              Service& service,
                                              const std::string& program) {
  const int port = FreePort();
  std::vector<std::string> flags = {"--ingress=127.0.0.1:0",
                                    absl::StrCat("--app=127.0.0.1:", port),
                                    "--mode=full"};
  if (!service.callee_flag.empty()) {
    flags.push_back(absl::StrCat("--egress=127.0.0.1:0=", address_));
  }
  absl::Status status = service.sidecar.Start(program, flags);
  if (!status.ok()) return status;
  status = ReadAfter(ctx, service.sidecar, "ingress ", &address_);
  if (!status.ok()) return status;
  std::string egress;
  if (!service.callee_flag.empty()) {
    status = ReadAfter(ctx, service.sidecar, "egress ", &egress);
    if (!status.ok()) return status;
    egress = egress.substr(0, egress.find(' '));  // "ADDRESS -> TARGET"
  }
  std::string ignored;
  status = StartApp(ctx, service, egress, port, &ignored);
  if (!status.ok()) return status;
  return ReadAfter(ctx, service.sidecar, "ready", &ignored);
}

absl::Status SidecarChain::WarmUp(const tether::Context& ctx) {
  RequestOptions request;
  request.address = address_;
  request.deadline = kStartTimeout;
  const absl::Status status = SendRequest(ctx, request).status;
  if (status.code() != absl::StatusCode::kInvalidArgument) return status;
  auto [hops_ctx, cancel] = tether::WithTimeout(ctx, kStartTimeout);
  for (Service* service : {&storefront_, &orders_}) {
    if (!ReadHop(hops_ctx, service->app)) {
      return absl::UnavailableError(
          absl::StrCat(service->app.name(), " says nothing of its requests"));
    }
  }
  return absl::OkStatus();
}

std::vector<v1::HopEvent> SidecarChain::ReadHops(const tether::Context& ctx) {
  std::vector<v1::HopEvent> hops;
  for (Service* service : {&storefront_, &orders_, &inventory_}) {
    if (const auto hop = ReadHop(ctx, service->app)) hops.push_back(*hop);
  }
  return hops;
}

absl::Status SidecarChain::Stop() {
  absl::Status result;
  // A sidecar that is asked twice doesn't wait for its calls.
  for (Service* service : {&storefront_, &orders_, &inventory_}) {
    result.Update(service->sidecar.Stop());
    result.Update(service->app.Stop());
  }
  return result;
}

}  // namespace shop
