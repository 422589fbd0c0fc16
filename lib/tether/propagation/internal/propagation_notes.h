// SPDX-License-Identifier: Apache-2.0
//
// Notes on what propagators do for one call, while it is described
// (describe.h). Internal.
//
// The notes belong to a thread. Without them, a propagator pays one load when
// it drops a value, and CompositePropagator one load for each part.

#ifndef TETHER_PROPAGATION_INTERNAL_PROPAGATION_NOTES_H_
#define TETHER_PROPAGATION_INTERNAL_PROPAGATION_NOTES_H_

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tether/export.h"

namespace tether {
class Propagator;
}

namespace tether::internal {

struct PropagationNote {
  enum class What { kRead, kDropped, kWritten, kKept };
  What what;
  std::string header;
  std::string by;  // the name of a propagator's class; may be empty
  std::string why;
};

// Not thread-safe.
class PropagationNotes {
 public:
  // `counts_drops`: the call is real, and its drops are counted too.
  explicit PropagationNotes(bool counts_drops = false)
      : counts_drops_(counts_drops) {}

  bool counts_drops() const { return counts_drops_; }
  void OnRead(std::string_view header);
  void OnWrite(std::string_view header, bool kept);
  void OnDrop(std::string_view header, std::string_view why);

  const std::vector<PropagationNote>& all() const { return notes_; }

 private:
  friend class ScopedPart;
  void Add(PropagationNote::What what, std::string_view header,
           std::string_view why);

  const bool counts_drops_;
  std::vector<PropagationNote> notes_;
  const Propagator* part_ = nullptr;
  std::string last_read_;  // by this part
};

// The number of threads that have notes. One load tells most propagators that
// there are none.
TETHER_EXPORT extern std::atomic<int> threads_with_notes;

// Makes `notes` those of this thread, instead of the former ones.
class ScopedNotes {
 public:
  explicit ScopedNotes(PropagationNotes& notes);
  ~ScopedNotes();
  ScopedNotes(const ScopedNotes&) = delete;
  ScopedNotes& operator=(const ScopedNotes&) = delete;

 private:
  PropagationNotes* const former_;
};

TETHER_EXPORT bool NoteDropOnThisThread(std::string_view header,
                                        std::string_view why);
TETHER_EXPORT bool NoteDropOnThisThread(const Propagator& propagator,
                                        std::string_view why);

// Notes a drop if this thread has notes. Returns true if the drop must not be
// counted, since the call is only described. `header`: "" for the one that was
// read last, or a propagator, for all its headers.
template <typename Header>
bool NoteDrop(const Header& header, std::string_view why) {
  return threads_with_notes.load(std::memory_order_relaxed) != 0 &&
         NoteDropOnThisThread(header, why);
}

// While it exists, notes of this thread name `part`.
class TETHER_EXPORT ScopedPart {
 public:
  explicit ScopedPart(const Propagator& part) {
    if (threads_with_notes.load(std::memory_order_relaxed) != 0) Enter(part);
  }
  ~ScopedPart() {
    if (entered_) Leave();
  }
  ScopedPart(const ScopedPart&) = delete;
  ScopedPart& operator=(const ScopedPart&) = delete;

 private:
  void Enter(const Propagator& part);
  void Leave();

  bool entered_ = false;
  const Propagator* former_ = nullptr;
};

}  // namespace tether::internal

#endif  // TETHER_PROPAGATION_INTERNAL_PROPAGATION_NOTES_H_
