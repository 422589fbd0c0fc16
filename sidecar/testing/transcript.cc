// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/transcript.h"

#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tether::sidecar::testing {
namespace {

constexpr size_t kLongestShown = 60;
constexpr char kHopMember[] = "tether-hop=";

std::string_view View(grpc::string_ref text) {
  return {text.data(), text.size()};
}

bool CarriesHops(std::string_view name) {
  return name == "baggage" || name == "tracestate";
}

std::string WithoutHop(std::string_view list) {
  if (list.substr(0, sizeof(kHopMember) - 1) != kHopMember) {
    return std::string(list);
  }
  const size_t comma = list.find(',');
  return comma == std::string_view::npos ? ""
                                         : std::string(list.substr(comma + 1));
}

}  // namespace

std::string Describe(std::string_view text) {
  if (text.size() > kLongestShown) {
    return absl::StrCat(text.size(), " bytes, hash ",
                        std::hash<std::string_view>()(text));
  }
  return absl::StrCat("\"", absl::CEscape({text.data(), text.size()}), "\"");
}

std::string Describe(const grpc::Status& status) {
  return absl::StrCat("status: ", static_cast<int>(status.error_code()), " ",
                      Describe(status.error_message()), " ",
                      Describe(status.error_details()), "\n");
}

std::string Describe(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  std::string text;
  for (const auto& [name_ref, value_ref] : metadata) {
    const std::string_view name = View(name_ref);
    std::string value(View(value_ref));
    if (name == "user-agent") continue;
    if (CarriesHops(name)) {
      value = WithoutHop(value);
      if (value.empty()) continue;
    }
    absl::StrAppend(&text, "  ", std::string(name), ": ",
                    Describe(std::string_view(value)), "\n");
  }
  return text;
}

}  // namespace tether::sidecar::testing
