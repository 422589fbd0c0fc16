// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/packed_headers.h"

#include <algorithm>
#include <charconv>
#include <functional>

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
constexpr size_t kMaxValue = 9999;

constexpr bool IsFieldNameCharacter(char c) {
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
      !std::all_of(written.begin(), written.end(), IsFieldNameCharacter)) {
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

struct Field {
  std::string_view name, value;
};

// Removes the first field from `text`.
std::optional<Field> TakeField(std::string_view& text) {
  if (text.empty() || text.front() != ';') return std::nullopt;
  // Most names are one letter.
  const size_t end = text.size() > 2 && text[2] == '='
                         ? 2
                         : text.substr(0, kMaxName + 2).find('=');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view name = NameOf(text.substr(1, end - 1));
  if (name.empty()) return std::nullopt;
  size_t at = end + 1;
  size_t size = 0;
  const auto is_digit = [&] {
    return at < text.size() && text[at] >= '0' && text[at] <= '9';
  };
  for (; is_digit() && at <= end + kMaxDigits; ++at) {
    size = size * 10 + static_cast<size_t>(text[at] - '0');
  }
  const size_t digits = at - (end + 1);
  if (digits == 0 || (digits > 1 && text[end + 1] == '0')) return std::nullopt;
  if (at == text.size() || text[at] != ':') return std::nullopt;
  ++at;
  if (size > text.size() - at) return std::nullopt;
  const Field field{name, text.substr(at, size)};
  text.remove_prefix(at + size);
  return field;
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

void PackedHeaders::Clear() {
  text_ = kPackedVersion;
  fields_ = 0;
  names_ = 0;
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
  return index == 0 && MayHave(key) ? Find(key) : std::nullopt;
}

std::string_view PackedHeaders::Own(std::string_view text,
                                    std::string& copy) const {
  const std::less<const char*> before;
  if (before(text.data(), text_.data()) ||
      !before(text.data(), text_.data() + text_.size())) {
    return text;
  }
  return copy = text;
}

void PackedHeaders::Set(std::string_view key, std::string_view value) {
  std::string key_copy, value_copy;
  key = Own(key, key_copy);
  value = Own(value, value_copy);
  if (inner_.Get(key).has_value()) return inner_.Set(key, value);
  const std::string_view written = WrittenAs(key);
  if (written.empty() || value.size() > kMaxValue || !IsHeaderText(value)) {
    if (MayHave(key)) Erase(key);
    return inner_.Set(key, value);
  }
  // Usually room for all fields.
  constexpr size_t kUsualSize = 160;
  char head[1 + kMaxName + 1 + kMaxDigits + 1];
  char* end = head;
  *end++ = ';';
  end = std::copy(written.begin(), written.end(), end);
  *end++ = '=';
  end = std::to_chars(end, end + kMaxDigits, value.size()).ptr;
  *end++ = ':';
  // Without memory, this throws, and no field changes.
  const size_t size =
      text_.size() + static_cast<size_t>(end - head) + value.size();
  if (text_.capacity() < size) text_.reserve(std::max(size, kUsualSize));
  if (MayHave(key)) Erase(key);
  if (fields_ == kMaxPackedFields) return inner_.Set(key, value);
  text_.append(head, static_cast<size_t>(end - head)).append(value);
  ++fields_;
  names_ |= BitOf(key);
}

bool PackedHeaders::Add(std::string_view key, std::string_view value) {
  const std::optional<std::string_view> packed =
      MayHave(key) ? Find(key) : std::nullopt;
  if (!packed && !inner_.Get(key).has_value()) {
    Set(key, value);
    return true;
  }
  std::string key_copy, value_copy;
  if (packed) {
    key = Own(key, key_copy);
    value = Own(value, value_copy);
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
