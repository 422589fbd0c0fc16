// SPDX-License-Identifier: Apache-2.0
//
// The members of a `tracestate`, as views of the received headers. Internal.

#ifndef TETHER_PROPAGATION_INTERNAL_TRACE_STATE_LIST_H_
#define TETHER_PROPAGATION_INTERNAL_TRACE_STATE_LIST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tether::internal {

bool IsTraceStateKey(std::string_view key);
bool IsTraceStateValue(std::string_view value);

// Meant for the stack. The headers must outlive it.
class TraceStateList {
 public:
  static constexpr int kMaxMembers = 32;

  TraceStateList() = default;
  TraceStateList(const TraceStateList&) = delete;
  TraceStateList& operator=(const TraceStateList&) = delete;

  // Appends the members of one header. If several have the same key, the first
  // (the most recent) is kept. Returns false if one is illegal or there are too
  // many; the list must not be used then.
  bool Append(std::string_view header);

  // Removes the member `key`. Returns true if there was one.
  bool Remove(std::string_view key);

  // Removes whole members until the rest fits `max_bytes` and `max_members`, in
  // the order that the standard requires: first members longer than 128
  // characters, then from the end. Returns the number of removed members.
  int Truncate(size_t max_bytes, int max_members = kMaxMembers);

  // The size of ToString().
  size_t bytes() const;
  int size() const { return size_; }
  // The number of members that were left out because of a duplicate key.
  int duplicates() const { return duplicates_; }

  // Returns the value of `key`. If there is none, its data() is null.
  std::string_view Find(std::string_view key) const;

  // Writes the list without blanks and empty members.
  void AppendTo(std::string& text) const;
  std::string ToString() const;

 private:
  struct Member {
    const char* data;
    uint32_t size;
    uint32_t key_size;

    std::string_view text() const { return {data, size}; }
    std::string_view key() const { return {data, key_size}; }
  };

  bool AppendMember(std::string_view text);
  void RemoveAt(int i);

  int size_ = 0;
  int duplicates_ = 0;
  std::array<Member, kMaxMembers> members_;  // the first size_
};

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_TRACE_STATE_LIST_H_
