// SPDX-License-Identifier: Apache-2.0

#include "tether/budget/internal/names.h"

#include <algorithm>

namespace tether::internal {
namespace {

// Not isalnum(): that asks the locale.
bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
}

bool IsTextCharacter(char c) {
  return IsNameCharacter(c) ||
         std::string_view(" :%@=#+[]").find(c) != std::string_view::npos;
}

}  // namespace

bool IsReportName(std::string_view text) {
  return std::all_of(text.begin(), text.end(), IsNameCharacter);
}

std::string CleanReportName(std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) text.remove_prefix(text.size() - max_bytes);
  std::string clean(text);
  for (char& c : clean) {
    if (!IsNameCharacter(c)) c = '_';
  }
  return clean;
}

bool IsReportText(std::string_view text) {
  return text.size() <= kMaxReportTextBytes &&
         std::all_of(text.begin(), text.end(), IsTextCharacter);
}

std::string CleanReportText(std::string_view text) {
  std::string clean(text.substr(0, kMaxReportTextBytes));
  for (char& c : clean) {
    if (!IsTextCharacter(c)) c = '_';
  }
  return clean;
}

std::string LabelInBrackets(std::string_view label) {
  return label.empty() ? "" : "[" + CleanReportText(label) + "]";
}

}  // namespace tether::internal
