// SPDX-License-Identifier: Apache-2.0
//
// Linked into every program of --config=tsan (see .bazelrc), so that it works
// from any folder and in any sandbox.
//
// The system's Abseil is not built with ThreadSanitizer, which therefore misses
// the synchronisation inside it: a report with a frame in those libraries says
// nothing about our code. Abseil's headers are compiled into ours and stay
// checked, but for one place: an absl::Status drops its last reference in the
// library, by a tail call that leaves no frame there.
extern "C" const char* __tsan_default_suppressions() {
  return "race:libabsl_\n"
         "deadlock:libabsl_\n"
         "race:absl::*::Status::Unref\n";
}
