// SPDX-License-Identifier: Apache-2.0
//
// How a client's calls reach an application: directly, or through two sidecars.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_PASSAGE_H_
#define TETHER_SIDECAR_TESTING_PASSAGE_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace tether::sidecar::testing {

enum class Way : char { kDirect, kObserve, kDeadline, kFull };

std::string NameOf(Way way);

// Through sidecars: client → egress port of the first → ingress of the second →
// application. So a call is proxied by both sides of the engine.
class Passage {
 public:
  // Ends the program if a sidecar doesn't start. If the application is up, all
  // connections to it are there then.
  Passage(Way way, const std::string& app_address, bool app_is_up = true);
  // Drains the sidecars. No call may be left.
  ~Passage();
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  // Where the client's calls go.
  const std::string& address() const { return address_; }

 private:
  struct Sidecars;

  std::unique_ptr<Sidecars> sidecars_;  // null: directly
  std::string address_;
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_PASSAGE_H_
