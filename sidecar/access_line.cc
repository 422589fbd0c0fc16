// SPDX-License-Identifier: Apache-2.0

#include "sidecar/access_line.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tether/observability/snapshot.h"
#include "tether/v1/access_log.pb.h"

namespace tether::sidecar {
namespace {

struct Text {
  std::string_view AccessEntry::*of_entry;
  std::string* (v1::AccessLogLine::*of_line)();
  size_t max_size;
};

// JSON needs up to six bytes for one of these, so a line has 3.9 KiB at most.
constexpr Text kTexts[] = {
    {&AccessEntry::side, &v1::AccessLogLine::mutable_side, 8},
    {&AccessEntry::method, &v1::AccessLogLine::mutable_method, 200},
    {&AccessEntry::peer, &v1::AccessLogLine::mutable_peer, 112},
    {&AccessEntry::target, &v1::AccessLogLine::mutable_target, 128},
    {&AccessEntry::trace_id, &v1::AccessLogLine::mutable_trace_id, 32},
    {&AccessEntry::request_id, &v1::AccessLogLine::mutable_request_id, 96},
    {&AccessEntry::correlated, &v1::AccessLogLine::mutable_correlated, 12}};

std::string CodeName(grpc::StatusCode code) {
  const std::string name =
      absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  return name.empty() ? absl::StrCat(static_cast<int>(code)) : name;
}

// In microseconds' precision.
double Milliseconds(absl::Duration duration) {
  return static_cast<double>(absl::ToInt64Microseconds(duration)) / 1000;
}

}  // namespace

AccessLine::AccessLine(const AccessEntry& entry, absl::Time time)
    : entry_(entry), time_(time) {
  size_t size = 0;
  for (const Text& text : kTexts) {
    std::string_view& field = entry_.*text.of_entry;
    // One byte more than is shown, so that CleanText sees that it is cut.
    field = field.substr(0, text.max_size + 1);
    size += field.size();
  }
  text_.reset(new char[size]);
  char* at = text_.get();
  for (const Text& text : kTexts) {
    std::string_view& field = entry_.*text.of_entry;
    char* const end = std::copy(field.begin(), field.end(), at);
    field = std::string_view(at, field.size());
    at = end;
  }
}

std::string AccessLine::ToJson() const {
  v1::AccessLogLine line;
  line.set_time(
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time_, absl::UTCTimeZone()));
  for (const Text& text : kTexts) {
    *(line.*text.of_line)() = CleanText(entry_.*text.of_entry, text.max_size);
  }
  line.set_code(CodeName(entry_.code));
  line.set_reason(std::string(EndReasonName(entry_.reason)));
  line.set_spent_ms(Milliseconds(entry_.spent));
  if (entry_.time_left.has_value() &&
      *entry_.time_left != absl::InfiniteDuration()) {
    line.set_time_left_ms(Milliseconds(*entry_.time_left));
  }
  line.set_cut(entry_.cut);
  line.set_not_sent(entry_.not_sent);

  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(line, &json, options).ok()) {
    return "";
  }
  json += '\n';
  return json;
}

}  // namespace tether::sidecar
