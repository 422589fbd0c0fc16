// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/trace_state.h"

#include "tether/propagation/internal/trace_state_list.h"

namespace tether {
namespace {

using internal::TraceStateList;

}  // namespace

std::optional<std::string_view> TraceStateMember(std::string_view trace_state,
                                                 std::string_view key) {
  TraceStateList list;
  if (!list.Append(trace_state)) return std::nullopt;
  const std::string_view value = list.Find(key);
  if (value.data() == nullptr) return std::nullopt;
  return value;
}

std::optional<std::string> PutTraceStateMember(std::string_view trace_state,
                                               std::string_view key,
                                               std::string_view value,
                                               size_t max_bytes) {
  if (!internal::IsTraceStateKey(key) || !internal::IsTraceStateValue(value)) {
    return std::nullopt;
  }
  const size_t own_size = key.size() + 1 + value.size();
  if (own_size > max_bytes) return std::nullopt;
  std::string text;
  text.reserve(own_size + 1 + trace_state.size());
  text.append(key).append(1, '=').append(value);
  TraceStateList list;
  if (list.Append(trace_state)) {
    list.Remove(key);
    list.Truncate(max_bytes > own_size ? max_bytes - own_size - 1 : 0,
                  TraceStateList::kMaxMembers - 1);
    list.AppendTo(text);
  }
  return text;
}

std::string RemoveTraceStateMember(std::string_view trace_state,
                                   std::string_view key) {
  TraceStateList list;
  if (!list.Append(trace_state)) return std::string();
  list.Remove(key);
  return list.ToString();
}

}  // namespace tether
