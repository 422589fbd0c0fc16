// SPDX-License-Identifier: Apache-2.0

#include "sidecar/config_errors.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tether::sidecar {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

constexpr size_t kMaxErrors = 20;  // in a message
constexpr size_t kMaxQuoted = 200;

}  // namespace

ConfigPlace::ConfigPlace(const Descriptor& message,
                         const TextFormat::ParseInfoTree* tree)
    : message_(&message), tree_(tree) {}

ConfigPlace ConfigPlace::At(const char* field, int index) const {
  ConfigPlace place = *this;
  absl::StrAppend(&place.path_, path_.empty() ? "" : ".", field);
  if (index >= 0) absl::StrAppend(&place.path_, "[", index, "]");
  const FieldDescriptor* const descriptor = message_->FindFieldByName(field);
  place.message_ = descriptor->message_type();
  place.tree_ = nullptr;
  if (tree_ == nullptr) return place;
  // Of a list in brackets, [{…}, {…}], the parser records only the begin.
  TextFormat::ParseLocation location = tree_->GetLocation(descriptor, index);
  if (location.line < 0 && index > 0) {
    location = tree_->GetLocation(descriptor, 0);
  }
  if (location.line >= 0) {
    place.line_ = location.line + 1;
    place.column_ = location.column + 1;
  }
  if (place.message_ != nullptr) {
    place.tree_ = tree_->GetTreeForNested(descriptor, index);
  }
  return place;
}

ConfigErrors::ConfigErrors(std::string_view file)
    : file_(file), name_of_([](const std::string& path) { return path; }) {}

ConfigErrors::ConfigErrors(NameOfPath name_of) : name_of_(std::move(name_of)) {}

void ConfigErrors::Add(const ConfigPlace& place, const std::string& text) {
  Add(place.line(), place.column(), absl::StrCat(NameOf(place), ": ", text));
}

void ConfigErrors::Add(int line, int column, const std::string& text) {
  if (is_full()) {
    ++left_out_;
  } else {
    errors_.push_back({line, column, text});
  }
}

std::string ConfigErrors::NameOf(const ConfigPlace& place) const {
  return name_of_(place.path());
}

absl::Status ConfigErrors::ToStatus() const {
  if (errors_.empty()) return absl::OkStatus();
  std::vector<Error> errors = errors_;
  std::stable_sort(
      errors.begin(), errors.end(), [](const Error& a, const Error& b) {
        return std::tie(a.line, a.column) < std::tie(b.line, b.column);
      });
  std::string lines;
  for (size_t i = 0; i < std::min(errors.size(), kMaxErrors); ++i) {
    const Error& error = errors[i];
    absl::StrAppend(&lines, lines.empty() ? "" : "\n");
    if (!file_.empty()) {
      absl::StrAppend(&lines, file_, ":", error.line, ":", error.column, ": ");
    }
    absl::StrAppend(&lines, error.text);
  }
  if (errors.size() > kMaxErrors) {
    absl::StrAppend(&lines, "\n", errors.size() - kMaxErrors + left_out_,
                    " more errors");
  }
  return absl::InvalidArgumentError(lines);
}

std::string Quoted(std::string_view text) {
  const std::string_view begin = text.substr(0, kMaxQuoted);
  return absl::StrCat(
      "\"", absl::CHexEscape(absl::string_view(begin.data(), begin.size())),
      begin.size() < text.size() ? "…" : "", "\"");
}

}  // namespace tether::sidecar
