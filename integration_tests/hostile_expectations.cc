// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/hostile_expectations.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace tether {
namespace {

std::optional<int64_t> ToNumber(std::string_view text) {
  int64_t value;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &value) ||
      std::to_string(value) != text) {  // a blank, a '+', leading zeros
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::vector<std::string> AllOf(const Map& metadata, const char* name) {
  std::vector<std::string> values;
  const auto [begin, end] = metadata.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    values.emplace_back(it->second.data(), it->second.size());
  }
  return values;
}

bool AreOneValue(const std::vector<std::string>& values) {
  return !values.empty() && values.size() <= 16 &&
         std::all_of(values.begin(), values.end(),
                     [&](const std::string& v) { return v == values[0]; });
}

std::optional<std::string> SoleOf(const Map& metadata, const char* name) {
  std::vector<std::string> values = AllOf(metadata, name);
  if (!AreOneValue(values)) return std::nullopt;
  return std::move(values[0]);
}

bool AllAre(std::string_view text, char low, char high) {
  return std::all_of(text.begin(), text.end(),
                     [=](char c) { return low <= c && c <= high; });
}

std::optional<std::string> ExpectedRequestId(const Map& metadata) {
  auto id = SoleOf(metadata, "x-request-id");
  if (!id || id->empty() || id->size() > 128 || !AllAre(*id, '!', '~')) {
    return std::nullopt;
  }
  return id;
}

std::optional<int64_t> ExpectedNumber(const Map& metadata) {
  const auto text = SoleOf(metadata, kOwnNumber);
  if (!text || text->empty() || text->size() > 1024 || text->front() == ' ' ||
      text->back() == ' ') {
    return std::nullopt;
  }
  return ToNumber(*text);
}

std::optional<std::string> ExpectedTraceId(const Map& metadata) {
  const auto header = SoleOf(metadata, "traceparent");
  if (!header || header->size() < 55) return std::nullopt;
  for (size_t i = 0; i < 55; ++i) {
    const char c = (*header)[i];
    const bool good = i == 2 || i == 35 || i == 52
                          ? c == '-'
                          : ('0' <= c && c <= '9') || ('a' <= c && c <= 'f');
    if (!good) return std::nullopt;
  }
  const std::string version = header->substr(0, 2);
  const std::string trace_id = header->substr(3, 32);
  if (version == "ff" || trace_id == std::string(32, '0') ||
      header->substr(36, 16) == std::string(16, '0')) {
    return std::nullopt;
  }
  if (header->size() > 55 && (version == "00" || (*header)[55] != '-')) {
    return std::nullopt;
  }
  return trace_id;
}

bool HasB3(const Map& metadata) {
  const auto it = metadata.lower_bound("x-b3-");
  return metadata.count("b3") != 0 ||
         (it != metadata.end() && it->first.starts_with("x-b3-"));
}

namespace {

// As in ExpectedTimeout, for the header `name`.
ExpectedTimeout TimeOf(const std::vector<MetadataHeader>& headers,
                       const std::string& name) {
  std::vector<std::string> values;
  for (const MetadataHeader& header : headers) {
    if (header.name == name) values.push_back(header.value);
  }
  if (values.empty()) return {};
  const std::string& sole = values[0];
  if (!AreOneValue(values) || sole.empty() || sole.size() > 18 ||
      !AllAre(sole, '0', '9')) {
    return {1, std::nullopt};
  }
  return {0, std::stoll(sole)};
}

}  // namespace

ExpectedTimeout TimeoutOf(const std::vector<MetadataHeader>& headers) {
  ExpectedTimeout timeout = TimeOf(headers, "tether-timeout");
  timeout.bad += TimeOf(headers, "tether-reserve").bad;
  return timeout;
}

}  // namespace tether
