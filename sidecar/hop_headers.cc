// SPDX-License-Identifier: Apache-2.0

#include "sidecar/hop_headers.h"

#include <optional>

#include "absl/container/inlined_vector.h"
#include "tether/propagation/internal/chars.h"
#include "tether/propagation/trace_state.h"

namespace tether::sidecar {
namespace {

using internal::WithoutBlanks;

// "tether-hop=" and the id.
constexpr size_t kMemberSize = kHopKey.size() + 1 + HopId::kTextSize;

constexpr size_t kMaxTraceStateMembers = 32;
constexpr size_t kLongTraceStateMember = 128;

enum class Header { kBaggage, kTraceState };

// Calls visit(member) for each part of `text` between commas, with all its
// bytes. There is at least one.
template <typename Visit>
void ForEachMember(std::string_view text, Visit visit) {
  for (size_t comma; (comma = text.find(',')) != std::string_view::npos;) {
    visit(text.substr(0, comma));
    text.remove_prefix(comma + 1);
  }
  visit(text);
}

std::string_view WithoutLeadingBlanks(std::string_view text) {
  while (!text.empty() && internal::IsBlank(text.front())) {
    text.remove_prefix(1);
  }
  return text;
}

// If the name of `member` is kHopKey, returns what follows the name, without
// blanks at both ends; else a view whose data() is null. Looks at the rest of
// other members not at all.
std::string_view AfterHopKey(std::string_view member, Header header) {
  member = WithoutLeadingBlanks(member);
  if (member.substr(0, kHopKey.size()) != kHopKey) return {};
  const std::string_view rest = WithoutBlanks(member.substr(kHopKey.size()));
  const bool name_ends = rest.empty() || rest.front() == '=' ||
                         (header == Header::kBaggage && rest.front() == ';');
  return name_ends ? rest : std::string_view();
}

bool IsHop(std::string_view member, Header header) {
  return AfterHopKey(member, header).data() != nullptr;
}

// `after_key`: the result of AfterHopKey.
std::optional<HopId> IdOf(std::string_view after_key, Header header) {
  if (after_key.empty() || after_key.front() != '=') return std::nullopt;
  std::string_view value = after_key.substr(1);
  if (header == Header::kBaggage) value = value.substr(0, value.find(';'));
  return HopId::Parse(WithoutBlanks(value));
}

void AppendHop(const HopId& id, std::string& text) {
  text.append(kHopKey).append(1, '=');
  const size_t size = text.size();
  text.resize(size + HopId::kTextSize);
  id.Write(text.data() + size);
}

TakenHops Take(std::string_view text, Header header) {
  TakenHops taken;
  // Most headers have none.
  if (text.find(kHopKey) == std::string_view::npos) {
    taken.rest = std::string(text);
    return taken;
  }
  taken.rest.reserve(text.size());
  bool first = true;
  ForEachMember(text, [&](std::string_view member) {
    const std::string_view after_key = AfterHopKey(member, header);
    if (after_key.data() != nullptr) {
      taken.changed = true;
      if (const auto id = IdOf(after_key, header)) taken.ids.push_back(*id);
      return;
    }
    if (!first) taken.rest += ',';
    first = false;
    taken.rest += member;
  });
  return taken;
}

// The members of a tracestate that are passed on.
class Members {
 public:
  explicit Members(std::string_view header) {
    ForEachMember(header, [this](std::string_view member) {
      if (IsHop(member, Header::kTraceState)) return;
      members_.push_back(member);
      bytes_ += 1 + member.size();
      if (!IsEmpty(member)) ++count_;
    });
  }

  // Drops members until there are at most `count` that aren't empty, and at
  // most `bytes` with a comma before each.
  void Limit(size_t count, size_t bytes) {
    while (count_ > count) DropLast();
    if (bytes_ > bytes) DropLongOnes(bytes);
    while (bytes_ > bytes) DropLast();
  }

  size_t bytes() const { return bytes_; }

  // Appends each member with a comma before it.
  void AppendTo(std::string& text) const {
    // One empty member is an empty header.
    if (members_.size() == 1 && members_[0].empty()) return;
    for (const std::string_view member : members_) {
      text += ',';
      text += member;
    }
  }

 private:
  static bool IsEmpty(std::string_view member) {
    return WithoutBlanks(member).empty();
  }

  void Forget(std::string_view member) {
    bytes_ -= 1 + member.size();
    if (!IsEmpty(member)) --count_;
  }

  void DropLast() {
    Forget(members_.back());
    members_.pop_back();
  }

  // Drops long members, the last first, while there are more than `bytes`.
  void DropLongOnes(size_t bytes) {
    size_t kept = members_.size();  // from here on, members stay
    for (size_t i = members_.size(); i-- > 0;) {
      const std::string_view member = members_[i];
      if (bytes_ > bytes &&
          WithoutBlanks(member).size() > kLongTraceStateMember) {
        Forget(member);
      } else {
        members_[--kept] = member;
      }
    }
    members_.erase(members_.begin(),
                   members_.begin() + static_cast<std::ptrdiff_t>(kept));
  }

  absl::InlinedVector<std::string_view, kMaxTraceStateMembers> members_;
  size_t bytes_ = 0;  // with a comma before each
  size_t count_ = 0;  // of those that aren't empty
};

}  // namespace

std::string PutHopInBaggage(std::string_view baggage, const HopId& id) {
  std::string text;
  text.reserve(kMemberSize + 1 + baggage.size());
  AppendHop(id, text);
  if (baggage.find(kHopKey) == std::string_view::npos) {
    if (!baggage.empty()) text.append(1, ',').append(baggage);
    return text;
  }
  const TakenHops others = Take(baggage, Header::kBaggage);
  if (!others.rest.empty()) text.append(1, ',').append(others.rest);
  return text;
}

std::string PutHopInTraceState(std::string_view tracestate, const HopId& id) {
  Members members(tracestate);
  members.Limit(kMaxTraceStateMembers - 1, kMaxTraceStateBytes - kMemberSize);
  std::string text;
  text.reserve(kMemberSize + members.bytes());
  AppendHop(id, text);
  members.AppendTo(text);
  return text;
}

TakenHops TakeHopsFromBaggage(std::string_view baggage) {
  return Take(baggage, Header::kBaggage);
}

TakenHops TakeHopsFromTraceState(std::string_view tracestate) {
  return Take(tracestate, Header::kTraceState);
}

}  // namespace tether::sidecar
