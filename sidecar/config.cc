// SPDX-License-Identifier: Apache-2.0

#include "sidecar/config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/stubs/common.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "sidecar/config_errors.h"
#include "sidecar/config_reader.h"
#include "sidecar/options.h"
#include "sidecar/read_file.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {
namespace {

using google::protobuf::TextFormat;

// Of messages in each other.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxMessage = 300;
constexpr int kTabWidth = 8;

// What the parser says, printable and without a full stop at its end.
std::string Cleaned(std::string_view message) {
  message = message.substr(0, kMaxMessage);
  while (!message.empty() && message.back() == '.') message.remove_suffix(1);
  std::string text;
  for (const char c : message) {
    if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      text += c;
    } else {
      text += absl::CHexEscape(absl::string_view(&c, 1));
    }
  }
  return text;
}

// What to write, for an error over the value of an enumeration: "; write OFF or
// FULL". "" for other errors. Protobuf's message names only the field, and
// fields that have one name have one type here.
std::string ValuesFor(std::string_view message) {
  constexpr std::string_view kField = "for field \"";
  const size_t field = message.find(kField);
  if (message.find("numeration value") == message.npos ||
      field == message.npos) {
    return "";
  }
  std::string_view name = message.substr(field + kField.size());
  name = name.substr(0, name.find('"'));
  const auto& file = *v1::SidecarConfig::descriptor()->file();
  for (int i = 0; i < file.message_type_count(); ++i) {
    const auto* found =
        file.message_type(i)->FindFieldByName(std::string(name));
    if (found == nullptr || found->enum_type() == nullptr) continue;
    std::string values;
    const int count = found->enum_type()->value_count();
    for (int value = 1; value < count; ++value) {  // 0 is "unspecified"
      absl::StrAppend(&values,
                      value == 1           ? "; write "
                      : value == count - 1 ? " or "
                                           : ", ",
                      std::string(found->enum_type()->value(value)->name()));
    }
    return values;
  }
  return "";
}

// Receives what the parser complains of. Lines and columns are counted from 0.
class Collector final : public google::protobuf::io::ErrorCollector {
 public:
  Collector(std::string_view text, ConfigErrors& errors)
      : text_(text), errors_(errors) {}

#if GOOGLE_PROTOBUF_VERSION >= 4022000
  void RecordError(int line, int column, absl::string_view message) override {
    OnError(line, column, {message.data(), message.size()});
  }
  void RecordWarning(int line, int column, absl::string_view message) override {
    OnUnknown(line, column, {message.data(), message.size()});
  }
#else
  void AddError(int line, int column, const std::string& message) override {
    OnError(line, column, message);
  }
  void AddWarning(int line, int column, const std::string& message) override {
    OnUnknown(line, column, message);
  }
#endif

 private:
  // The first one ends the parsing. Others only follow from it.
  void OnError(int line, int column, std::string_view message) {
    if (!has_failed_) {
      errors_.Add(line + 1, column + 1, Cleaned(message) + ValuesFor(message));
    }
    has_failed_ = true;
  }

  // An unknown field. The parser is told to skip them, because then it finds
  // all of them. It names the place behind the field's name.
  void OnUnknown(int line, int column, std::string_view message) {
    if (has_failed_) return;
    if (!errors_.is_full()) column = BeginOfName(line, column);
    errors_.Add(line + 1, column + 1, Cleaned(message));
  }

  int BeginOfName(int line, int column) const;

  const std::string_view text_;
  ConfigErrors& errors_;
  bool has_failed_ = false;
};

int Collector::BeginOfName(int line, int column) const {
  std::string_view rest = text_;
  for (; line > 0 && rest.find('\n') != rest.npos; --line) {
    rest.remove_prefix(rest.find('\n') + 1);
  }
  // The columns of the line's characters. The parser's tabs are wide.
  std::vector<int> columns;
  int next = 0;
  for (const char c : rest) {
    if (c == '\n' || next >= column) break;
    columns.push_back(next);
    next += c == '\t' ? kTabWidth - next % kTabWidth : 1;
  }
  size_t begin = columns.size();
  while (begin > 0 && absl::ascii_isspace(rest[begin - 1])) --begin;
  const size_t end = begin;
  const auto is_name = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  while (begin > 0 && is_name(rest[begin - 1])) --begin;
  return begin < end ? columns[begin] : column;
}

}  // namespace

absl::StatusOr<SidecarOptions> ParseConfig(std::string_view text,
                                           std::string_view file) {
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(file), ": has more than ", kMaxFileBytes, " bytes"));
  }
  ConfigErrors errors(file);
  Collector collector(text, errors);
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.WriteLocationsTo(&tree);
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(kMaxDepth);
  v1::SidecarConfig config;
  if (!parser.ParseFromString(std::string(text), &config)) {
    if (errors.empty()) errors.Add(1, 1, "not in text format");
    return errors.ToStatus();
  }
  SidecarOptions options = ReadConfig(
      config, ConfigPlace(*v1::SidecarConfig::descriptor(), &tree), errors);
  if (!errors.empty()) return errors.ToStatus();
  return options;
}

absl::StatusOr<SidecarOptions> LoadConfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", std::string(text.status().message())));
  }
  return ParseConfig(*text, path);
}

}  // namespace tether::sidecar
