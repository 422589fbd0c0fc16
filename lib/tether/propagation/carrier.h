// A Carrier is where values travel: the headers of a request, seen as a map of
// strings. What they mean is a Propagator's.
//
// Keys are lower-case ASCII, as HTTP/2 requires.
//
// Thread safety: none. Lifetime: views that Get and ForEachKey hand out are
// valid while the carrier is unchanged.

#ifndef TETHER_PROPAGATION_CARRIER_H_
#define TETHER_PROPAGATION_CARRIER_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace tether {

class Carrier {
 public:
  virtual ~Carrier() = default;

  // The value under `key`; nullopt when absent. Where the peer sent several,
  // `index` picks one, in order of arrival.
  virtual std::optional<std::string_view> Get(std::string_view key,
                                              int index = 0) const = 0;

  // Replaces what is under `key`.
  virtual void Set(std::string_view key, std::string_view value) = 0;

  // Calls `visit` once for each key.
  virtual void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const = 0;
};

// A carrier in memory, for tests and for transports other than gRPC.
class MapCarrier final : public Carrier {
 public:
  MapCarrier() = default;
  explicit MapCarrier(std::multimap<std::string, std::string, std::less<>> map)
      : map_(std::move(map)) {}

  std::optional<std::string_view> Get(std::string_view key,
                                      int index = 0) const override;
  void Set(std::string_view key, std::string_view value) override;
  void ForEachKey(
      absl::FunctionRef<void(std::string_view)> visit) const override;

  // Adds beside what is there, as a peer may.
  void Add(std::string_view key, std::string_view value);

  const std::multimap<std::string, std::string, std::less<>>& map() const {
    return map_;
  }

 private:
  std::multimap<std::string, std::string, std::less<>> map_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_CARRIER_H_
