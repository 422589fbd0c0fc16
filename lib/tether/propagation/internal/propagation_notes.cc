// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/internal/propagation_notes.h"

#include <cstdlib>
#include <utility>

#include "tether/propagation/propagator.h"

#if defined(__GXX_RTTI) || defined(__cpp_rtti)
#include <cxxabi.h>

#include <typeinfo>
#endif

namespace tether::internal {
namespace {

thread_local PropagationNotes* notes_of_this_thread = nullptr;

// "HeaderPropagator" for tether::HeaderPropagator<int>.
std::string ClassName(const Propagator& propagator) {
#if defined(__GXX_RTTI) || defined(__cpp_rtti)
  int error = 0;
  char* const demangled =
      abi::__cxa_demangle(typeid(propagator).name(), nullptr, nullptr, &error);
  if (demangled == nullptr) return "";
  std::string name(demangled);
  std::free(demangled);
  name = name.substr(0, name.find('<'));
  const size_t colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
#else
  static_cast<void>(propagator);
  return "";
#endif
}

}  // namespace

std::atomic<int> threads_with_notes{0};

void PropagationNotes::OnRead(std::string_view header) {
  last_read_ = std::string(header);
  Add(PropagationNote::What::kRead, header, "");
}

void PropagationNotes::OnWrite(std::string_view header, bool kept) {
  Add(kept ? PropagationNote::What::kKept : PropagationNote::What::kWritten,
      header, "");
}

void PropagationNotes::OnDrop(std::string_view header, std::string_view why) {
  if (!header.empty()) {
    return Add(PropagationNote::What::kDropped, header, why);
  }
  if (!last_read_.empty()) {
    return Add(PropagationNote::What::kDropped, std::string(last_read_), why);
  }
  if (part_ == nullptr) return;
  for (const std::string_view field : part_->Fields()) {
    Add(PropagationNote::What::kDropped, field, why);
  }
}

void PropagationNotes::Add(PropagationNote::What what, std::string_view header,
                           std::string_view why) {
  for (const PropagationNote& note : notes_) {
    if (note.what == what && note.header == header) return;
  }
  notes_.push_back({what, std::string(header),
                    part_ == nullptr ? "" : ClassName(*part_),
                    std::string(why)});
}

ScopedNotes::ScopedNotes(PropagationNotes& notes)
    : former_(std::exchange(notes_of_this_thread, &notes)) {
  threads_with_notes.fetch_add(1, std::memory_order_relaxed);
}

ScopedNotes::~ScopedNotes() {
  threads_with_notes.fetch_sub(1, std::memory_order_relaxed);
  notes_of_this_thread = former_;
}

bool NoteDropOnThisThread(std::string_view header, std::string_view why) {
  if (notes_of_this_thread == nullptr) return false;
  notes_of_this_thread->OnDrop(header, why);
  return !notes_of_this_thread->counts_drops();
}

bool NoteDropOnThisThread(const Propagator& propagator, std::string_view why) {
  if (notes_of_this_thread == nullptr) return false;
  for (const std::string_view field : propagator.Fields()) {
    notes_of_this_thread->OnDrop(field, why);
  }
  return !notes_of_this_thread->counts_drops();
}

void ScopedPart::Enter(const Propagator& part) {
  PropagationNotes* const notes = notes_of_this_thread;
  if (notes == nullptr) return;
  entered_ = true;
  former_ = std::exchange(notes->part_, &part);
  notes->last_read_.clear();
}

void ScopedPart::Leave() {
  // The notes may have gone meanwhile only if a propagator misbehaves.
  if (notes_of_this_thread != nullptr) notes_of_this_thread->part_ = former_;
}

}  // namespace tether::internal
