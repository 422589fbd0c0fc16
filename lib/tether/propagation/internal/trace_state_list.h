// The members of a `tracestate`, as views of the headers that they came in.
// Internal.

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

// Lives on the stack. The headers must outlive it.
class TraceStateList {
 public:
  static constexpr int kMaxMembers = 32;

  TraceStateList() = default;
  TraceStateList(const TraceStateList&) = delete;
  TraceStateList& operator=(const TraceStateList&) = delete;

  // Appends the members of one header; of several with the same key the first
  // stays, which is the most recent one. False if any is illegal, or there are
  // too many: the list is then worth nothing.
  bool Append(std::string_view header);

  // Removes the member `key`; whether it was there.
  bool Remove(std::string_view key);

  // Removes whole members until the rest takes `max_bytes`, and at most
  // `max_members`, in the order that the standard asks for: those longer than
  // 128 characters first, and from the end. Returns how many.
  int Truncate(size_t max_bytes, int max_members = kMaxMembers);

  // What ToString gives, in bytes.
  size_t bytes() const;
  int size() const { return size_; }
  // How many were left out for their key.
  int duplicates() const { return duplicates_; }

  // The value under `key`; data() is null when there is none.
  std::string_view Find(std::string_view key) const;

  // Without blanks and empty members.
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
