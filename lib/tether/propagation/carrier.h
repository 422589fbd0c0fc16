// SPDX-License-Identifier: Apache-2.0
//
// A Carrier presents the headers of a request as a map from strings to strings.
// A Propagator interprets them.
//
// Keys are lower-case ASCII, as HTTP/2 requires. Propagators get and set only
// such keys.

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

// Implement this interface for the headers of a transport. Propagators call Get
// a few times per request, so it should look headers up without copying them.
//
// Thread safety: like a container's; const calls may run concurrently.
// Lifetime: views from Get and ForEachKey are valid until the carrier is
// changed or destroyed. Propagators do not keep them.
class TETHER_EXPORT Carrier {
 public:
  virtual ~Carrier() = default;

  // Returns the value of `key`, or nullopt if there is none. If the header was
  // sent several times, `index` selects one, in order of arrival; so Get(key,
  // 1) shows whether a header was repeated. Returns nullopt for an index that
  // is negative or too high.
  virtual std::optional<std::string_view> Get(std::string_view key,
                                              int index = 0) const = 0;

  // Replaces all values of `key` with `value`. Copies both. A carrier may keep
  // a value that the application itself has set; Get shows which one won.
  virtual void Set(std::string_view key, std::string_view value) = 0;

  // Adds one more header `key` with `value`, and keeps existing ones. Returns
  // false and does nothing if the carrier can't repeat headers. This default
  // implementation can't.
  virtual bool Add(std::string_view key, std::string_view value) {
    (void)key;
    (void)value;
    return false;
  }

  // Calls `visit` once for each distinct key, in no particular order. `visit`
  // must not change the carrier.
  virtual void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const = 0;
};

// A carrier in memory, for tests and for transports without a carrier of their
// own. It converts the keys that it is given to lower case, because HTTP/1
// peers may use any case. Get accepts lower-case keys only.
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
