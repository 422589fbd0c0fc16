// SPDX-License-Identifier: Apache-2.0

#include "services/demo/chain.h"

#include <google/protobuf/util/json_util.h>
#include <limits.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace shop {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(20);

}  // namespace

std::string BinFolder() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  std::string folder(path, length > 0 ? static_cast<size_t>(length) : 0);
  for (int i = 0; i < 3; ++i) {
    const size_t slash = folder.rfind('/');
    if (slash != std::string::npos) folder.erase(slash);
  }
  return folder;
}

std::optional<v1::HopEvent> ReadHop(const tether::Context& ctx,
                                    tether::testing::ChildProcess& service) {
  while (const std::optional<std::string> line = service.ReadLine(ctx)) {
    v1::HopEvent event;
    if (google::protobuf::util::JsonStringToMessage(*line, &event).ok()) {
      return event;
    }
  }
  return std::nullopt;
}

absl::Status Chain::Start(const tether::Context& ctx,
                          const ChainOptions& options) {
  std::vector<std::string> flags = {absl::StrCat(
      "--inventory_delay=", absl::FormatDuration(options.inventory_delay))};
  if (options.faults) flags.push_back("--deaf");
  absl::Status status = StartService(ctx, inventory_, options, flags);
  if (!status.ok()) return status;
  flags = {absl::StrCat("--inventory=", running_.back().address),
           absl::StrCat("--inventory_timeout=",
                        absl::FormatDuration(options.inventory_timeout)),
           absl::StrCat("--fallback=", options.fallback ? "true" : "false")};
  if (options.faults) flags.push_back("--lose_context");
  status = StartService(ctx, orders_, options, flags);
  if (!status.ok()) return status;
  return StartService(ctx, storefront_, options,
                      {absl::StrCat("--orders=", running_.back().address)});
}

absl::Status Chain::StartService(const tether::Context& ctx,
                                 tether::testing::ChildProcess& service,
                                 const ChainOptions& options,
                                 std::vector<std::string> flags) {
  std::string program = absl::StrCat(BinFolder(), "/services/", service.name(),
                                     "/", service.name());
  if (options.live) {
    absl::StrAppend(&program, "_live");
    flags.push_back("--live");
  }
  const absl::Status status = service.Start(program, flags);
  if (!status.ok()) return status;
  RunningService running;
  running.name = service.name();
  auto [start_ctx, cancel] = tether::WithTimeout(ctx, kStartTimeout);
  while (const std::optional<std::string> line = service.ReadLine(start_ctx)) {
    absl::string_view text = *line;
    if (absl::ConsumePrefix(&text, "status page at ")) {
      running.status_page = std::string(text);
    } else if (absl::ConsumePrefix(&text, "listening on port ")) {
      running.address = absl::StrCat("127.0.0.1:", text);
      running_.push_back(std::move(running));
      return absl::OkStatus();
    }
  }
  if (ctx.Done()) return ctx.Cause();
  return absl::UnavailableError(
      absl::StrCat(service.name(), " did not start to listen"));
}

std::vector<v1::HopEvent> Chain::ReadHops(const tether::Context& ctx,
                                          int count) {
  std::vector<v1::HopEvent> hops;
  for (tether::testing::ChildProcess* service :
       {&storefront_, &orders_, &inventory_}) {
    if (count-- <= 0) break;
    if (const auto event = ReadHop(ctx, *service)) hops.push_back(*event);
  }
  return hops;
}

absl::Status Chain::Stop() {
  for (tether::testing::ChildProcess* service :
       {&storefront_, &orders_, &inventory_}) {
    service->AskToStop();
  }
  absl::Status result;
  for (tether::testing::ChildProcess* service :
       {&storefront_, &orders_, &inventory_}) {
    result.Update(service->Stop());
  }
  return result;
}

}  // namespace shop
