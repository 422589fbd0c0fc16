// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/describe.h"

#include <cstddef>
#include <optional>
#include <set>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "tether/internal/exceptions.h"
#include "tether/propagation/internal/described_inject.h"
#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/propagation_notes.h"

namespace tether {
namespace {

using internal::DescribedInject;
using internal::PropagationNote;
using internal::PropagationNotes;
using What = internal::PropagationNote::What;

// Notes what is read and written.
class NotingCarrier final : public Carrier {
 public:
  // `out` is null if nothing is written.
  NotingCarrier(const Carrier& in, Carrier* out, PropagationNotes& notes)
      : in_(in), out_(out), notes_(notes) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index) const override {
    const std::optional<std::string_view> value = in_.Get(key, index);
    if (out_ == nullptr && value.has_value()) notes_.OnRead(key);
    return value;
  }
  void Set(std::string_view key, std::string_view value) override {
    if (out_ == nullptr) return;
    const std::string copy(value);  // `value` may be a view of what is replaced
    out_->Set(key, value);
    notes_.OnWrite(key, /*kept=*/in_.Get(key, 0) != copy);
  }
  bool Add(std::string_view key, std::string_view value) override {
    if (out_ == nullptr || !out_->Add(key, value)) return false;
    notes_.OnWrite(key, /*kept=*/false);
    return true;
  }
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override {
    in_.ForEachKey(visit);
  }

 private:
  const Carrier& in_;
  Carrier* const out_;
  PropagationNotes& notes_;
};

const PropagationNote* Find(const PropagationNotes& notes,
                            std::string_view header, What what) {
  for (const PropagationNote& note : notes.all()) {
    if (note.what == what && note.header == header) return &note;
  }
  return nullptr;
}

std::string By(const PropagationNote& note) {
  return note.by.empty() ? "" : " by " + note.by;
}

std::string Dropped(const PropagationNote& note) {
  return "dropped" + By(note) + ": " + note.why;
}

std::string Size(const Carrier& carrier, std::string_view key) {
  size_t bytes = 0;
  for (int i = 0; const auto value = carrier.Get(key, i); ++i) {
    bytes += value->size();
  }
  return " (" + std::to_string(bytes) + " bytes)";
}

std::set<std::string> FieldsOf(const Propagator& propagator) {
  std::set<std::string> fields;
  for (const std::string_view field : propagator.Fields()) {
    fields.emplace(field);
  }
  return fields;
}

void AppendLine(std::string& text, const std::string& line) {
  text += "  " + line + "\n";
}

std::string FateOfReceived(const PropagationNotes& notes,
                           std::string_view header) {
  if (const auto* note = Find(notes, header, What::kDropped)) {
    return Dropped(*note);
  }
  if (const auto* note = Find(notes, header, What::kRead)) {
    return "read" + By(*note);
  }
  return "no propagator reads it";
}

std::string FateOfSent(const PropagationNotes& notes, const std::string& header,
                       const Carrier& carrier) {
  if (const auto* note = Find(notes, header, What::kDropped)) {
    return header + ": " + Dropped(*note);
  }
  if (const auto* note = Find(notes, header, What::kWritten)) {
    return header + Size(carrier, header) + ": written" + By(*note);
  }
  if (Find(notes, header, What::kKept) != nullptr) {
    return header + Size(carrier, header) + ": the application's own is sent";
  }
  return header + ": nothing to send";
}

DescribedInject Inject(const Propagator& propagator, const Context& ctx,
                       Carrier& carrier, InjectLimits limits,
                       PropagationNotes& notes) {
  DescribedInject result;
  {
    const internal::ScopedNotes scope(notes);
    const internal::ScopedPart whole(propagator);
    NotingCarrier noting(carrier, &carrier, notes);
    TETHER_TRY {
      result.fits = LimitedCarrier(noting, limits).Inject(propagator, ctx);
    }
    TETHER_CATCH(...) { result.threw = true; }
    if (!result.fits) {
      internal::NoteDrop(propagator, "all headers together are too large");
    }
  }
  if (result.threw) {
    AppendLine(result.text, "the propagator threw an exception");
  }
  std::set<std::string> headers = FieldsOf(propagator);
  for (const PropagationNote& note : notes.all()) headers.insert(note.header);
  for (const std::string& header : headers) {
    AppendLine(result.text, FateOfSent(notes, header, carrier));
  }
  return result;
}

}  // namespace

std::string DescribeExtract(const Propagator& propagator,
                            const Carrier& carrier, const Context& ctx) {
  PropagationNotes notes;
  std::string text;
  {
    const internal::ScopedNotes scope(notes);
    const internal::ScopedPart whole(propagator);
    const NotingCarrier noting(carrier, nullptr, notes);
    TETHER_TRY { static_cast<void>(propagator.Extract(noting, ctx)); }
    TETHER_CATCH(...) { AppendLine(text, "the propagator threw an exception"); }
  }
  std::set<std::string> missing = FieldsOf(propagator);
  std::set<std::string> received;
  carrier.ForEachKey([&](std::string_view key) {
    missing.erase(std::string(key));
    if (internal::IsHeaderName(key)) received.emplace(key);
  });
  for (const std::string& header : received) {
    AppendLine(text, header + Size(carrier, header) + ": " +
                         FateOfReceived(notes, header));
  }
  std::string names;
  for (const std::string& header : missing) {
    names += (names.empty() ? "" : ", ") + header;
  }
  if (!names.empty()) AppendLine(text, "not received: " + names);
  return text;
}

std::string DescribeInject(const Propagator& propagator, const Context& ctx,
                           Carrier& carrier, InjectLimits limits) {
  PropagationNotes notes;
  return Inject(propagator, ctx, carrier, limits, notes).text;
}

internal::DescribedInject internal::InjectAndDescribe(
    const Propagator& propagator, const Context& ctx, Carrier& carrier,
    InjectLimits limits) {
  PropagationNotes notes(/*counts_drops=*/true);
  return Inject(propagator, ctx, carrier, limits, notes);
}

}  // namespace tether
