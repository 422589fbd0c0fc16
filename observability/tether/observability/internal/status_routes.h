// SPDX-License-Identifier: Apache-2.0
//
// The answers of StatusPage, without HTTP. Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_STATUS_ROUTES_H_
#define TETHER_OBSERVABILITY_INTERNAL_STATUS_ROUTES_H_

#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tether/v1/inspector.pb.h"

namespace tether::internal {

struct HttpAnswer {
  int code = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  // Pages only: the inline style and script have it, so that the browser uses
  // no other (Content-Security-Policy).
  std::string nonce;
};

struct StatusSources {
  std::function<v1::Snapshot(const v1::ListRequest&)> snapshot;
  std::function<v1::PropagationHealth()> health;
  std::function<std::string()> metrics;  // may be null
  std::map<std::string, std::function<HttpAnswer()>> more_paths;
};

// A path that the page itself answers.
bool IsStatusPath(absl::string_view path);

// The answer to GET. `path` is decoded and has no query. If a source throws,
// 500. Any thread.
HttpAnswer AnswerStatusRequest(const StatusSources& sources,
                               absl::string_view path, absl::string_view query);

// From the query of /requests.json. Unknown parameters are ignored.
absl::StatusOr<v1::ListRequest> ParseListQuery(absl::string_view query);

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_STATUS_ROUTES_H_
