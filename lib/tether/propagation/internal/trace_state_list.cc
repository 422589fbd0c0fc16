// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/trace_state_list.h"

#include <algorithm>

#include "tether/propagation/internal/chars.h"

namespace tether::internal {
namespace {

constexpr size_t kMaxKeySize = 256;
constexpr size_t kMaxValueSize = 256;
constexpr uint32_t kLongMember = 128;

}  // namespace

bool IsTraceStateKey(std::string_view key) {
  if (key.empty() || key.size() > kMaxKeySize) return false;
  const char first = key[0];
  return ((first >= 'a' && first <= 'z') || (first >= '0' && first <= '9')) &&
         SpanOf(kTraceStateKey, key) == key.size();
}

bool IsTraceStateValue(std::string_view value) {
  return !value.empty() && value.size() <= kMaxValueSize &&
         value.back() != ' ' && SpanOf(kTraceStateValue, value) == value.size();
}

bool TraceStateList::Append(std::string_view header) {
  for (;;) {
    const size_t comma = header.find(',');
    // Blanks before the key and after the value are not part of the member.
    // Blanks before the value are.
    const std::string_view text = WithoutBlanks(header.substr(0, comma));
    if (!text.empty() && !AppendMember(text)) return false;
    if (comma == std::string_view::npos) return true;
    header.remove_prefix(comma + 1);
  }
}

bool TraceStateList::AppendMember(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos ||
      !IsTraceStateKey(text.substr(0, equals)) ||
      !IsTraceStateValue(text.substr(equals + 1))) {
    return false;
  }
  const Member member = {text.data(), static_cast<uint32_t>(text.size()),
                         static_cast<uint32_t>(equals)};
  if (Find(member.key()).data() != nullptr) {
    ++duplicates_;
    return size_ + duplicates_ <= kMaxMembers;
  }
  if (size_ + duplicates_ == kMaxMembers) return false;
  members_[static_cast<size_t>(size_++)] = member;
  return true;
}

std::string_view TraceStateList::Find(std::string_view key) const {
  for (int i = 0; i < size_; ++i) {
    const Member& member = members_[static_cast<size_t>(i)];
    if (member.key() == key) return member.text().substr(key.size() + 1);
  }
  return {};
}

bool TraceStateList::Remove(std::string_view key) {
  for (int i = 0; i < size_; ++i) {
    if (members_[static_cast<size_t>(i)].key() != key) continue;
    RemoveAt(i);
    return true;
  }
  return false;
}

int TraceStateList::Truncate(size_t max_bytes, int max_members) {
  const int before = size_;
  size_t size = bytes();
  for (const uint32_t longer_than : {kLongMember, uint32_t{0}}) {
    for (int i = size_ - 1; i >= 0 && (size > max_bytes || size_ > max_members);
         --i) {
      const uint32_t member_size = members_[static_cast<size_t>(i)].size;
      if (member_size <= longer_than) continue;
      size -= member_size + (size_ > 1 ? 1 : 0);
      RemoveAt(i);
    }
  }
  return before - size_;
}

void TraceStateList::RemoveAt(int i) {
  std::copy(members_.begin() + i + 1, members_.begin() + size_,
            members_.begin() + i);
  --size_;
}

size_t TraceStateList::bytes() const {
  size_t size = size_ > 0 ? static_cast<size_t>(size_ - 1) : 0;  // the commas
  for (int i = 0; i < size_; ++i) size += members_[static_cast<size_t>(i)].size;
  return size;
}

void TraceStateList::AppendTo(std::string& text) const {
  for (int i = 0; i < size_; ++i) {
    if (!text.empty()) text += ',';
    text += members_[static_cast<size_t>(i)].text();
  }
}

std::string TraceStateList::ToString() const {
  std::string text;
  text.reserve(bytes());
  AppendTo(text);
  return text;
}

}  // namespace tether::internal
