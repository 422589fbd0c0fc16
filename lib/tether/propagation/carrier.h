// A Carrier is where values travel: the headers of a request, seen as a map
// from strings to strings. What they mean is a Propagator's business.
//
// Keys are lower-case ASCII, as HTTP/2 requires: propagators only ask for, and
// only set, such keys.

#ifndef TETHER_PROPAGATION_CARRIER_H_
#define TETHER_PROPAGATION_CARRIER_H_

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "tether/export.h"

namespace tether {

// To be implemented over the headers of a transport. Propagators call Get a few
// times per request, so it should be a look-up and not a copy.
//
// Thread safety: const calls may run at the same time, as for a container.
// Lifetime: the views that Get and ForEachKey hand out are valid until the
// carrier is changed or destroyed. Propagators keep none.
class TETHER_EXPORT Carrier {
 public:
  virtual ~Carrier() = default;

  // The value under `key`; nullopt when there is none. Where the peer sent
  // several, `index` picks one, in order of arrival: Get(key, 1) tells whether
  // the header was repeated. nullopt for an index that is negative or too high.
  virtual std::optional<std::string_view> Get(std::string_view key,
                                              int index = 0) const = 0;

  // Puts `value` in the place of whatever is under `key`. Both are copied. A
  // carrier may hold on to what the application itself has put there; Get
  // tells.
  virtual void Set(std::string_view key, std::string_view value) = 0;

  // Puts `value` beside what is under `key`, as one more header of that name.
  // False where the carrier can't repeat headers, as this one, for carriers
  // that don't override it: then nothing has been done.
  virtual bool Add(std::string_view key, std::string_view value) {
    (void)key;
    (void)value;
    return false;
  }

  // Calls `visit` once for each key, in no particular order. `visit` must not
  // change the carrier.
  virtual void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const = 0;
};

// A carrier in memory: for tests, and for transports that have no carrier of
// their own. Keys that come from outside are lower-cased on the way in, since
// HTTP/1 peers write them as they please; Get takes lower-case keys only.
//
// Example:
//
//   tether::MapCarrier carrier{{"X-Request-Id", "4711"}};
//   tether::Context ctx = propagator.Extract(carrier, tether::Background());
class TETHER_EXPORT MapCarrier final : public Carrier {
 public:
  using Map = std::multimap<std::string, std::string, std::less<>>;

  MapCarrier() = default;
  explicit MapCarrier(const Map& map);
  MapCarrier(
      std::initializer_list<std::pair<std::string_view, std::string_view>>
          headers);

  std::optional<std::string_view> Get(std::string_view key,
                                      int index = 0) const override;
  void Set(std::string_view key, std::string_view value) override;
  bool Add(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

  const Map& map() const { return map_; }

 private:
  Map map_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_CARRIER_H_
