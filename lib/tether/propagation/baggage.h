// Baggage (https://www.w3.org/TR/baggage/): named values that an application
// sends along with a request, to all services that it reaches, in the header
// `baggage`.
//
//   baggage: tenant=acme,route=canary%20north;ttl=3
//
// Everybody on the way can read it, and it may leave the company: nothing
// confidential belongs there. RedactPropagator (redact.h) holds back what must
// stay, EdgePropagator (edge.h) drops what strangers send.

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

// An entry that doesn't fit any more is left out, and those after it looked at.
// The standard asks for at least these.
struct BaggageLimits {
  size_t max_entries = 64;
  // Of all entries as they are sent, with the commas between them.
  size_t max_bytes = 8192;
};

// Said of an entry: a key, and maybe a value. The standard gives it no meaning.
struct BaggageProperty {
  std::string key;
  std::optional<std::string> value;

  friend bool operator==(const BaggageProperty& a, const BaggageProperty& b) {
    return a.key == b.key && a.value == b.value;
  }
};

// A list of entries, in order: an immutable value, copied cheaply. Looking
// something up, or making an empty one, allocates nothing.
//
// A key is a token of RFC 7230: 1 or more of letters, digits and
// "!#$%&'*+-.^_`|~"; case matters. A value is any UTF-8 text. Several entries
// may have one key, if they came in so.
//
// Thread safety: any thread. Lifetime: views are valid as long as this, a copy
// of it, or a Context with one exists.
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

  // Reads one header; several are read as one, joined with commas. Left out is
  // what the standard doesn't allow (a key that is no token, other characters
  // than it has for values, a '%' without two hex digits) or `limits` don't,
  // the whole entry each time; added to `*dropped` is how many. Encoded octets
  // that are no UTF-8 are read as U+FFFD.
  static Baggage Parse(std::string_view header, BaggageLimits limits = {},
                       int64_t* dropped = nullptr);

  bool empty() const { return rep_ == nullptr; }
  size_t size() const;

  // Requires i < size().
  Entry operator[](size_t i) const;

  // The value under `key`, decoded; of several, the last one.
  std::optional<std::string_view> Get(std::string_view key) const;

  // With this entry at the end, in the place of all that have its key. Where
  // the key (or a property's) is no token, or a value is no UTF-8, there is no
  // such entry then: never the one before.
  [[nodiscard]] Baggage With(
      std::string_view key, std::string_view value,
      const std::vector<BaggageProperty>& properties = {}) const;

  // Without all entries that have `key`.
  [[nodiscard]] Baggage Without(std::string_view key) const;

  // Without the entries that are beyond `limits`.
  [[nodiscard]] Baggage Within(BaggageLimits limits) const;

  // As it is sent. Entries that came in stay as they were, without blanks.
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

  explicit Baggage(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

  std::shared_ptr<const Rep> rep_;  // null: empty
};

// A view of one.
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

// The baggage of `ctx`; an empty one when it has none. Valid as long as `ctx`,
// or a context made from it, exists.
TETHER_EXPORT const Baggage& BaggageOf(const Context& ctx);

// A child of `parent` with this baggage in the place of its parent's. An empty
// one sends none.
TETHER_EXPORT Context WithBaggage(const Context& parent, Baggage baggage);

// Carries the Baggage over a hop.
//
// Extract takes all `baggage` headers as one list; where no good entry came in,
// the context stays as it is. Inject writes one header.
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
  // Both ways.
  explicit BaggagePropagator(BaggageLimits limits = {});

  Context Extract(const Carrier& carrier, const Context& ctx) const override;
  void Inject(const Context& ctx, Carrier& carrier) const override;
  std::vector<std::string_view> Fields() const override;
  size_t MaxInjectBytes(const Context& ctx) const override;

  // Counts each entry that is malformed or beyond the limits.
  int64_t Dropped() const override;

 private:
  const BaggageLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_BAGGAGE_H_
