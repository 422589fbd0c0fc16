// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/internal/status_routes.h"

#include <civetweb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "tether/internal/exceptions.h"
#include "tether/observability/internal/status_html.h"

namespace tether::internal {
namespace {

constexpr size_t kTraceIdSize = 32;

HttpAnswer Error(int code, absl::string_view text) {
  HttpAnswer answer;
  answer.code = code;
  answer.body = absl::StrCat(text, "\n");
  return answer;
}

// 128 random bits, in hex.
std::string MakeNonce() {
  std::random_device random;
  std::string nonce;
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&nonce, absl::Hex(random(), absl::kZeroPad8));
  }
  return nonce;
}

HttpAnswer Page(std::string (*make)(absl::string_view nonce)) {
  HttpAnswer answer;
  answer.type = "text/html; charset=utf-8";
  answer.nonce = MakeNonce();
  answer.body = make(answer.nonce);
  return answer;
}

HttpAnswer Json(const google::protobuf::Message& message) {
  HttpAnswer answer;
  answer.type = "application/json";
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &answer.body);
  return status.ok() ? answer : Error(500, status.ToString());
}

// The decoded value of a parameter, or nullopt if the query doesn't have it.
std::optional<std::string> Parameter(absl::string_view query,
                                     const char* name) {
  std::string value(query.size() + 1, '\0');
  const int size =
      mg_get_var(query.data(), query.size(), name, value.data(), value.size());
  if (size < 0) return std::nullopt;
  value.resize(static_cast<size_t>(size));
  return value;
}

HttpAnswer Requests(const StatusSources& sources, absl::string_view query) {
  const absl::StatusOr<v1::ListRequest> request = ParseListQuery(query);
  if (!request.ok()) return Error(400, request.status().message());
  return Json(sources.snapshot(*request));
}

HttpAnswer Metrics(const StatusSources& sources) {
  if (!sources.metrics) {
    return Error(404,
                 "This process offers no metrics here: "
                 "StatusPageOptions::metrics isn't set.");
  }
  HttpAnswer answer;
  answer.type = "text/plain; version=0.0.4; charset=utf-8";
  answer.body = sources.metrics();
  return answer;
}

constexpr absl::string_view kPaths[] = {
    "/", "/health-of-propagation", "/requests.json",
    "/health-of-propagation.json", "/metrics"};

HttpAnswer NotFound(const StatusSources& sources) {
  std::string paths = absl::StrJoin(kPaths, ", ");
  for (const auto& [path, answer] : sources.more_paths) {
    absl::StrAppend(&paths, ", ", path);
  }
  return Error(404, absl::StrCat("Not found. There are ", paths, "."));
}

HttpAnswer Route(const StatusSources& sources, absl::string_view path,
                 absl::string_view query) {
  if (path == "/") return Page(InFlightHtml);
  if (path == "/health-of-propagation") return Page(PropagationHealthHtml);
  if (path == "/requests.json") return Requests(sources, query);
  if (path == "/health-of-propagation.json") return Json(sources.health());
  if (path == "/metrics") return Metrics(sources);
  const auto more = sources.more_paths.find(std::string(path));
  return more != sources.more_paths.end() ? more->second() : NotFound(sources);
}

}  // namespace

bool IsStatusPath(absl::string_view path) {
  return std::find(std::begin(kPaths), std::end(kPaths), path) !=
         std::end(kPaths);
}

HttpAnswer AnswerStatusRequest(const StatusSources& sources,
                               absl::string_view path,
                               absl::string_view query) {
  TETHER_TRY { return Route(sources, path, query); }
  TETHER_CATCH(...) {}
  return Error(500, "A function that this page calls has thrown an exception.");
}

absl::StatusOr<v1::ListRequest> ParseListQuery(absl::string_view query) {
  v1::ListRequest request;
  if (auto method = Parameter(query, "method")) {
    request.set_method_contains(*std::move(method));
  }
  if (auto trace = Parameter(query, "trace"); trace && !trace->empty()) {
    if (trace->size() != kTraceIdSize ||
        !std::all_of(trace->begin(), trace->end(), absl::ascii_isxdigit)) {
      return absl::InvalidArgumentError("trace must be 32 hex digits");
    }
    request.set_trace_id(absl::AsciiStrToLower(*trace));
  }
  if (auto max = Parameter(query, "max"); max && !max->empty()) {
    int32_t entries = 0;
    if (!absl::SimpleAtoi(*max, &entries) || entries < 0) {
      return absl::InvalidArgumentError("max must be a number from 0 on");
    }
    request.set_max_entries(entries);
  }
  return request;
}

}  // namespace tether::internal
