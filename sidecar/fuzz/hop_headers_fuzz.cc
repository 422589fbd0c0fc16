// SPDX-License-Identifier: Apache-2.0
//
// The id in baggage and tracestate: what was put is taken, what arrives under
// its name is dropped, and all other members keep every byte. The input is a
// header.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sidecar/hop_headers.h"
#include "sidecar/hop_id.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/trace_state.h"

namespace tether::sidecar {
namespace {

constexpr std::string_view kIdText = "0123456789abcdef0123456789abcdef";
constexpr size_t kOwnSize = 43;  // "tether-hop=" and an id
constexpr std::string_view kBlanks = " \t";

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != ',') continue;
    parts.push_back(text.substr(start, i - start));
    start = i + 1;
  }
  return parts;
}

std::string Join(const std::vector<std::string_view>& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += ',';
    text += parts[i];
  }
  return text;
}

bool IsLowerHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// A header, read by the definition in hop_headers.h.
struct Model {
  // `name_ends`: the characters of which the first ends a member's name.
  // `value_ends`: those of which the first ends its value.
  Model(std::string_view text, std::string_view name_ends,
        std::string_view value_ends) {
    for (const std::string_view member : Split(text)) {
      const size_t end = member.find_first_of(name_ends);
      if (Trimmed(member.substr(0, end)) != kHopKey) {
        others.push_back(member);
        continue;
      }
      has_hop = true;
      if (end == std::string_view::npos || member[end] != '=') continue;
      const std::string_view value = member.substr(end + 1);
      const std::string_view id =
          Trimmed(value.substr(0, value.find_first_of(value_ends)));
      if (id.size() == 32 && IsLowerHex(id)) ids.push_back(std::string(id));
    }
  }

  std::vector<std::string_view> others;
  std::vector<std::string> ids;
  bool has_hop = false;
};

void CheckTaken(const TakenHops& taken, const Model& model) {
  FUZZ_CHECK(taken.rest == Join(model.others));
  FUZZ_CHECK(taken.changed == model.has_hop);
  FUZZ_CHECK(taken.ids.size() == model.ids.size());
  for (size_t i = 0; i < taken.ids.size(); ++i) {
    FUZZ_CHECK(taken.ids[i].ToString() == model.ids[i]);
  }
}

// `put` is `rest` with the id before it.
bool HasIdFirst(std::string_view put, std::string_view rest) {
  if (put.substr(0, kHopKey.size()) != kHopKey) return false;
  put.remove_prefix(kHopKey.size());
  if (put.substr(0, 1) != "=" || put.substr(1, 32) != kIdText) return false;
  put.remove_prefix(33);
  if (rest.empty()) return put.empty();
  return put.substr(0, 1) == "," && put.substr(1) == rest;
}

void RunBaggage(std::string_view text, const HopId& id, const HopId& other) {
  CheckTaken(TakeHopsFromBaggage(text), Model(text, "=;", ";"));
  const std::string rest = TakeHopsFromBaggage(text).rest;
  const std::string put = PutHopInBaggage(text, id);
  FUZZ_CHECK(HasIdFirst(put, rest));
  const TakenHops taken = TakeHopsFromBaggage(put);
  FUZZ_CHECK(taken.rest == rest);
  FUZZ_CHECK(taken.ids == std::vector<HopId>{id});
  FUZZ_CHECK(PutHopInBaggage(put, other) == PutHopInBaggage(text, other));
}

size_t CountMembers(const std::vector<std::string_view>& members) {
  size_t count = 0;
  for (const std::string_view member : members) {
    if (!Trimmed(member).empty()) ++count;
  }
  return count;
}

// The members of a tracestate that fit beside the id, by the definition.
std::string Fitting(std::vector<std::string_view> members) {
  const auto size = [&members] {
    const std::string text = Join(members);
    // A comma and no member would be left of one empty member.
    return members.empty() || text.empty() ? text.size() : text.size() + 1;
  };
  while (CountMembers(members) > 31) members.pop_back();
  for (size_t i = members.size(); i-- > 0;) {
    if (kOwnSize + size() <= 512) break;
    if (Trimmed(members[i]).size() > 128) {
      members.erase(members.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  while (kOwnSize + size() > 512) members.pop_back();
  return Join(members);
}

void RunTraceState(std::string_view text, const HopId& id, const HopId& other) {
  const Model model(text, "=", "");
  CheckTaken(TakeHopsFromTraceState(text), model);
  const std::string put = PutHopInTraceState(text, id);
  const std::string fitting = Fitting(model.others);
  FUZZ_CHECK(HasIdFirst(put, fitting));
  FUZZ_CHECK(put.size() <= 512);
  FUZZ_CHECK(CountMembers(Split(put)) <= 32);
  const TakenHops taken = TakeHopsFromTraceState(put);
  FUZZ_CHECK(taken.rest == fitting);
  FUZZ_CHECK(taken.ids == std::vector<HopId>{id});
  FUZZ_CHECK(PutHopInTraceState(put, other) == PutHopInTraceState(text, other));
  // What was legal is.
  const std::string probe = "probe=1," + std::string(text);
  if (TraceStateMember(probe, "probe").has_value()) {
    FUZZ_CHECK(TraceStateMember(put, kHopKey) == kIdText);
  }
}

void Run(std::string_view text) {
  const HopId id = *HopId::Parse(kIdText);
  const HopId other;
  FUZZ_CHECK(HopId::Parse(text).has_value() ==
             (text.size() == 32 && IsLowerHex(text)));
  RunBaggage(text, id, other);
  RunTraceState(text, id, other);
}

}  // namespace
}  // namespace tether::sidecar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::sidecar::Run(tether::fuzz::AsText(data, size));
  return 0;
}
