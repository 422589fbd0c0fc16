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

constexpr std::string_view kBaggageNameEnds = "=;";
constexpr std::string_view kTraceStateNameEnds = "=";

// Calls visit(member) for each part of `header` between commas, with all its
// bytes. There is at least one.
template <typename Visit>
void ForEachMember(std::string_view header, Visit visit) {
  for (size_t comma; (comma = header.find(',')) != std::string_view::npos;) {
    visit(header.substr(0, comma));
    header.remove_prefix(comma + 1);
  }
  visit(header);
}

bool IsHop(std::string_view member, std::string_view name_ends) {
  return WithoutBlanks(member.substr(0, member.find_first_of(name_ends))) ==
         kHopKey;
}

// `member` is a hop.
std::optional<HopId> IdOf(std::string_view member, bool has_properties) {
  const size_t equals = member.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  std::string_view value = member.substr(equals + 1);
  if (has_properties) {
    // In `tether-hop;p=1`, the '=' is the property's.
    if (member.find(';') < equals) return std::nullopt;
    value = value.substr(0, value.find(';'));
  }
  return HopId::Parse(WithoutBlanks(value));
}

void AppendHop(const HopId& id, std::string& text) {
  text.append(kHopKey).append(1, '=');
  const size_t size = text.size();
  text.resize(size + HopId::kTextSize);
  id.Write(text.data() + size);
}

TakenHops Take(std::string_view header, bool is_baggage) {
  TakenHops taken;
  // Most headers have none.
  if (header.find(kHopKey) == std::string_view::npos) {
    taken.rest = std::string(header);
    return taken;
  }
  const std::string_view ends =
      is_baggage ? kBaggageNameEnds : kTraceStateNameEnds;
  taken.rest.reserve(header.size());
  bool first = true;
  ForEachMember(header, [&](std::string_view member) {
    if (IsHop(member, ends)) {
      taken.changed = true;
      if (const auto id = IdOf(member, is_baggage)) taken.ids.push_back(*id);
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
      if (IsHop(member, kTraceStateNameEnds)) return;
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
  const TakenHops others = Take(baggage, true);
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
  return Take(baggage, true);
}

TakenHops TakeHopsFromTraceState(std::string_view tracestate) {
  return Take(tracestate, false);
}

}  // namespace tether::sidecar
