// SPDX-License-Identifier: Apache-2.0
//
// traceparent and tracestate: a trace that is read is valid, and reads the same
// after it was written. The first line of the input is a traceparent; the
// others are tracestate headers.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/context.h"
#include "tether/fuzz/fuzz_check.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/trace_context.h"
#include "tether/propagation/trace_state.h"

namespace tether::fuzz {
namespace {

constexpr size_t kMaxTraceState = 512;

bool IsPrintable(std::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

void CheckTraceParent(std::string_view header,
                      const std::optional<TraceContext>& trace) {
  if (!trace.has_value()) return;
  FUZZ_CHECK(trace->valid());
  FUZZ_CHECK(trace->trace_state.empty());
  FUZZ_CHECK(header.size() >= 55);
  FUZZ_CHECK(header.substr(0, 2) != "ff");
  // The ids are copied from the text; with version 00, everything is.
  FUZZ_CHECK(header.substr(3, 32) == trace->TraceIdHex());
  FUZZ_CHECK(header.substr(36, 16) == trace->SpanIdHex());
  const std::string written = FormatTraceParent(*trace);
  FUZZ_CHECK(written.size() == 55);
  if (header.substr(0, 2) == "00") {
    FUZZ_CHECK(written == header);
  } else {
    FUZZ_CHECK((trace->flags & ~TraceContext::kSampled) == 0);
  }
  FUZZ_CHECK(ParseTraceParent(written) == trace);
}

// Parses a list of members by the grammar, one character at a time.
std::optional<std::vector<std::string>> MembersOf(std::string_view header) {
  std::vector<std::string> members = {""};
  for (const char c : header) {
    if (c == ',') {
      members.emplace_back();
    } else {
      members.back() += c;
    }
  }
  std::vector<std::string> good;
  for (std::string& member : members) {
    while (!member.empty() && (member[0] == ' ' || member[0] == '\t')) {
      member.erase(0, 1);
    }
    while (!member.empty() && (member.back() == ' ' || member.back() == '\t')) {
      member.pop_back();
    }
    if (member.empty()) continue;
    size_t key = 0;
    for (; key < member.size() && member[key] != '='; ++key) {
      const char c = member[key];
      const bool first = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      const bool later =
          c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
      if (!first && (key == 0 || !later)) return std::nullopt;
    }
    if (key == 0 || key > 256 || key == member.size()) return std::nullopt;
    const size_t value = member.size() - key - 1;
    if (value == 0 || value > 256) return std::nullopt;
    for (size_t i = key + 1; i < member.size(); ++i) {
      if (member[i] < 0x20 || member[i] > 0x7e || member[i] == '=') {
        return std::nullopt;
      }
    }
    good.push_back(member);
  }
  return good;
}

void CheckTraceState(std::string_view header) {
  const auto members = MembersOf(header);
  const bool good = members.has_value() && members->size() <= 32;
  if (!good || members->empty()) {
    FUZZ_CHECK(PutTraceStateMember(header, "zz", "1") == "zz=1");
    FUZZ_CHECK(!TraceStateMember(header, "zz").has_value());
    return;
  }
  for (const std::string& member : *members) {
    const std::string key = member.substr(0, member.find('='));
    FUZZ_CHECK(TraceStateMember(header, key).has_value());
    FUZZ_CHECK(!TraceStateMember(RemoveTraceStateMember(header, key), key)
                    .has_value());
    const auto put = PutTraceStateMember(header, key, "new");
    FUZZ_CHECK(put.has_value() && put->size() <= kMaxTraceState);
    FUZZ_CHECK(put->substr(0, key.size() + 4) == key + "=new");
    FUZZ_CHECK(TraceStateMember(*put, key) == "new");
  }
}

void Run(std::string_view text) {
  const std::vector<std::string_view> lines = Lines(text);
  const std::optional<TraceContext> parsed = ParseTraceParent(lines[0]);
  CheckTraceParent(lines[0], parsed);
  for (size_t i = 1; i < lines.size(); ++i) CheckTraceState(lines[i]);

  MapCarrier incoming;
  incoming.Set(kTraceParentHeader, lines[0]);
  for (size_t i = 1; i < lines.size(); ++i) {
    incoming.Add(kTraceStateHeader, lines[i]);
  }
  const TraceContextPropagator propagator;
  const Context ctx = propagator.Extract(incoming, Background());
  const TraceContext* trace = TraceOf(ctx);
  FUZZ_CHECK((trace != nullptr) == parsed.has_value());

  MapCarrier outgoing;
  propagator.Inject(ctx, outgoing);
  if (trace == nullptr) {
    FUZZ_CHECK(outgoing.map().empty());
    return;
  }
  FUZZ_CHECK(trace->trace_id == parsed->trace_id);
  FUZZ_CHECK(trace->span_id == parsed->span_id);
  FUZZ_CHECK(trace->flags == parsed->flags);
  FUZZ_CHECK(trace->trace_state.size() <= kMaxTraceState);
  FUZZ_CHECK(IsPrintable(trace->trace_state));

  // The next hop gets the same trace and another span.
  const TraceContextPropagator next;
  const Context there = next.Extract(outgoing, Background());
  FUZZ_CHECK(next.Dropped() == 0);
  const TraceContext* sent = TraceOf(there);
  FUZZ_CHECK(sent != nullptr);
  FUZZ_CHECK(sent->trace_id == trace->trace_id);
  FUZZ_CHECK(sent->sampled() == trace->sampled());
  FUZZ_CHECK(sent->trace_state == trace->trace_state);
}

}  // namespace
}  // namespace tether::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tether::fuzz::Run(tether::fuzz::AsText(data, size));
  return 0;
}
