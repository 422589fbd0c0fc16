// SPDX-License-Identifier: Apache-2.0
//
// W3C Baggage (https://www.w3.org/TR/baggage/): named values that travel with a
// request to all services that it reaches, in the header `baggage`.
//
//   baggage: tenant=acme,route=canary%20north;ttl=3
//
// All services on the way can read it, and it may leave the company, so don't
// put confidential data there. RedactPropagator (redact.h) holds entries back;
// EdgePropagator (edge.h) drops baggage from untrusted callers.

#ifndef TETHER_PROPAGATION_BAGGAGE_H_
#define TETHER_PROPAGATION_BAGGAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/propagator.h"

namespace tether {

inline constexpr std::string_view kBaggageHeader = "baggage";

// Entries that don't fit are left out; later entries that fit are kept. The
// standard requires at least these limits.
struct BaggageLimits {
  size_t max_entries = 64;
  // The size of all entries as sent, including commas.
  size_t max_bytes = 8192;
};

// A property of an entry: a key with an optional value. The standard defines no
// properties.
struct BaggageProperty {
  std::string key;
  std::optional<std::string> value;

  friend bool operator==(const BaggageProperty& a, const BaggageProperty& b) {
    return a.key == b.key && a.value == b.value;
  }
};

// An ordered list of entries. Immutable and cheap to copy. Lookups and empty
// lists allocate nothing.
//
// A key is a token of RFC 7230: one or more letters, digits and
// "!#$%&'*+-.^_`|~"; case matters. A value is any UTF-8 text. Received baggage
// may have several entries with the same key.
//
// Thread safety: any thread. Lifetime: views are valid while this object, a
// copy of it, or a Context that holds one exists.
//
// Example:
//
//   if (auto tenant = tether::BaggageOf(ctx).Get("tenant")) Bill(*tenant);
//   ctx = tether::WithBaggage(
//       ctx, tether::BaggageOf(ctx).With("route", "canary north"));
class TETHER_EXPORT Baggage {
 public:
  class Entry;

  Baggage() = default;

  // Parses one header. (Join several with commas.) Entries are left out if they
  // violate the standard (a key that is not a token, illegal characters in a
  // value, a '%' without two hex digits) or exceed `limits`. Adds their number
  // to `*dropped` unless it is null. Encoded octets that are not UTF-8 are
  // decoded as U+FFFD.
  static Baggage Parse(std::string_view header, BaggageLimits limits = {},
                       int64_t* dropped = nullptr);

  bool empty() const { return rep_ == nullptr; }
  size_t size() const;

  // Requires i < size().
  Entry operator[](size_t i) const;

  // Returns the decoded value of `key`, or of the last of several entries with
  // this key; nullopt if there is none.
  std::optional<std::string_view> Get(std::string_view key) const;

  // Returns a copy with this entry at the end, instead of all existing entries
  // with its key. If a key (of the entry or of a property) is not a token, or a
  // value is not UTF-8, the copy has no entry with this key.
  [[nodiscard]] Baggage With(
      std::string_view key, std::string_view value,
      const std::vector<BaggageProperty>& properties = {}) const;

  // Returns a copy without the entries that have `key`.
  [[nodiscard]] Baggage Without(std::string_view key) const;

  // Returns a copy without the entries that exceed `limits`.
  [[nodiscard]] Baggage Within(BaggageLimits limits) const;

  // Returns the header as it is sent. Received entries are unchanged except for
  // blanks, which are removed.
  std::string_view header() const;

  friend bool operator==(const Baggage& a, const Baggage& b) {
    return a.header() == b.header();
  }
  friend bool operator!=(const Baggage& a, const Baggage& b) {
    return !(a == b);
  }

 private:
  friend class BaggagePropagator;
  class Writer;
  struct Rep;

  // Parses all `baggage` headers of `carrier`. Adds the number of dropped
  // entries to `dropped`.
  static Baggage Read(const Carrier& carrier, BaggageLimits limits,
                      int64_t& dropped);

  explicit Baggage(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

  std::shared_ptr<const Rep> rep_;  // null: empty
};

// A view of one entry.
class Baggage::Entry {
 public:
  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }  // decoded
  std::vector<BaggageProperty> properties() const;   // decoded

 private:
  friend class Baggage;
  std::string_view key_;
  std::string_view value_;
  std::string_view properties_;  // as sent, with the ';' before each
};

// Returns the baggage of `ctx`, which is empty if there is none. Valid while
// `ctx` or a context derived from it exists.
TETHER_EXPORT const Baggage& BaggageOf(const Context& ctx);

// Returns a child of `parent` with this baggage instead of the parent's. If
// `baggage` is empty, none is sent.
TETHER_EXPORT Context WithBaggage(const Context& parent, Baggage baggage);

// Carries the Baggage over a hop.
//
// Extract reads all `baggage` headers as one list. If that has no valid entry,
// the context is unchanged. Inject writes one header.
//
// Thread safety: any thread.
//
// Example:
//
//   tether::BaggagePropagator propagator;
//   tether::Context ctx = propagator.Extract(request_headers, server_ctx);
//   propagator.Inject(ctx, call_headers);
class TETHER_EXPORT BaggagePropagator final : public Propagator {
 public:
  // `limits` apply to Extract and to Inject.
  explicit BaggagePropagator(BaggageLimits limits = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;

  // Counts each entry that is malformed or exceeds the limits.
  int64_t Dropped() const override;

 private:
  const BaggageLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_BAGGAGE_H_
