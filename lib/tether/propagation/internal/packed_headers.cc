// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/packed_headers.h"

#include <algorithm>
#include <charconv>

#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/timeout_header.h"

namespace tether::internal {
namespace {

struct Alias {
  char letter;
  std::string_view name;
};
constexpr Alias kAliases[] = {
    {'t', kTimeoutHeader}, {'r', kReserveHeader}, {'p', "traceparent"},
    {'s', "tracestate"},   {'i', "x-request-id"}, {'b', "baggage"},
};

constexpr size_t kMaxName = 64;
constexpr size_t kMaxDigits = 4;

constexpr bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// The name for `written`, which is an alias or the name itself; "" for neither.
std::string_view NameOf(std::string_view written) {
  if (written.size() == 1) {
    for (const Alias& alias : kAliases) {
      if (written[0] == alias.letter) return alias.name;
    }
    return {};
  }
  if (written.size() > kMaxName || IsBinaryHeaderName(written) ||
      !std::all_of(written.begin(), written.end(), IsNameCharacter)) {
    return {};
  }
  return written;
}

// How `name` is written; "" if it can't be.
std::string_view WrittenAs(const std::string_view& name) {
  for (const Alias& alias : kAliases) {
    if (name == alias.name) return {&alias.letter, 1};
  }
  return name.size() > 1 ? NameOf(name) : std::string_view();
}

// Returns what comes before `end` in `text`, and removes both; nullopt if there
// is no `end` within the first `limit` + 1 characters.
std::optional<std::string_view> TakeUntil(char end, size_t limit,
                                          std::string_view& text) {
  const size_t at = text.substr(0, limit + 1).find(end);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + 1);
  return taken;
}

struct Field {
  std::string_view name, value;
};

// Removes the first field from `text`.
std::optional<Field> TakeField(std::string_view& text) {
  if (text.empty() || text.front() != ';') return std::nullopt;
  text.remove_prefix(1);
  const auto written = TakeUntil('=', kMaxName, text);
  if (!written) return std::nullopt;
  const auto digits = TakeUntil(':', kMaxDigits, text);
  if (!digits || digits->empty()) return std::nullopt;
  if (digits->size() > 1 && digits->front() == '0') return std::nullopt;
  size_t size = 0;
  for (const char c : *digits) {
    if (c < '0' || c > '9') return std::nullopt;
    size = size * 10 + static_cast<size_t>(c - '0');
  }
  const std::string_view name = NameOf(*written);
  if (name.empty() || size > text.size()) return std::nullopt;
  const std::string_view value = text.substr(0, size);
  text.remove_prefix(size);
  return Field{name, value};
}

bool TakeVersion(std::string_view& text) {
  if (text.substr(0, kPackedVersion.size()) != kPackedVersion) return false;
  text.remove_prefix(kPackedVersion.size());
  return true;
}

}  // namespace

bool ForEachPacked(
    std::string_view header,
    absl::FunctionRef<void(std::string_view name, std::string_view value)>
        visit) {
  if (!TakeVersion(header)) return false;
  Field fields[kMaxPackedFields];
  size_t count = 0;
  for (; !header.empty(); ++count) {
    if (count == kMaxPackedFields) return false;
    const std::optional<Field> field = TakeField(header);
    if (!field) return false;
    fields[count] = *field;
  }
  for (size_t i = 0; i < count; ++i) visit(fields[i].name, fields[i].value);
  return true;
}

std::optional<std::string_view> PackedHeaders::Find(
    std::string_view key) const {
  std::string_view rest = text_;
  (void)TakeVersion(rest);
  while (const std::optional<Field> field = TakeField(rest)) {
    if (field->name == key) return field->value;
  }
  return std::nullopt;
}

void PackedHeaders::Erase(std::string_view key) {
  std::string_view rest = text_;
  (void)TakeVersion(rest);
  for (;;) {
    const size_t begin = text_.size() - rest.size();
    const std::optional<Field> field = TakeField(rest);
    if (!field) return;
    if (field->name != key) continue;
    text_.erase(begin, text_.size() - rest.size() - begin);
    --fields_;
    return;
  }
}

std::optional<std::string_view> PackedHeaders::Get(std::string_view key,
                                                   int index) const {
  if (auto value = inner_.Get(key, index)) return value;
  // A packed header isn't in `inner_`.
  return index == 0 ? Find(key) : std::nullopt;
}

void PackedHeaders::Set(std::string_view key, std::string_view value) {
  if (inner_.Get(key).has_value()) return inner_.Set(key, value);
  Erase(key);
  const std::string_view written = WrittenAs(key);
  if (written.empty() || value.size() > 9999 || !IsHeaderText(value) ||
      fields_ == kMaxPackedFields) {
    return inner_.Set(key, value);
  }
  char digits[kMaxDigits];
  const auto end = std::to_chars(digits, digits + kMaxDigits, value.size()).ptr;
  text_ += ';';
  text_ += written;
  text_ += '=';
  text_.append(digits, end);
  text_ += ':';
  text_ += value;
  ++fields_;
}

bool PackedHeaders::Add(std::string_view key, std::string_view value) {
  const std::optional<std::string_view> packed = Find(key);
  if (!packed && !inner_.Get(key).has_value()) {
    Set(key, value);
    return true;
  }
  if (packed) {
    // Both become headers of their own, in their order.
    const std::string first(*packed);
    if (!inner_.Add(key, first)) return false;
    Erase(key);
  }
  return inner_.Add(key, value);
}

void PackedHeaders::ForEachKey(
    absl::FunctionRef<void(std::string_view)> visit) const {
  inner_.ForEachKey(visit);
  (void)ForEachPacked(
      text_, [&](std::string_view name, std::string_view) { visit(name); });
}

}  // namespace tether::internal
