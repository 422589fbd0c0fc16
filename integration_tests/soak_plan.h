// SPDX-License-Identifier: Apache-2.0
//
// What a caller of soak_test does: the plan of one RPC, drawn at random, and
// the outcomes that the plan allows.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_SOAK_PLAN_H_
#define TETHER_INTEGRATION_TESTS_SOAK_PLAN_H_

#include <grpcpp/grpcpp.h>

#include <random>
#include <string>

#include "absl/time/time.h"
#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/request.h"
#include "tether/end_reason.h"

namespace tether::soak {

// The last leaf and the last relay are never disturbed.
inline constexpr int kLeaves = 6;
inline constexpr int kRelays = 2;

// The servers and links that a request passes.
struct Route {
  int relay = -1;  // -1: none
  bool relay_by_link = false;
  int leaf = 0;
  bool leaf_by_link = false;

  // True if nothing on the route is ever disturbed.
  bool IsCalm() const;
};

struct Plan {
  // When and how the caller ends the call.
  enum class Stop { kNever, kBefore, kDuring, kAfter };
  enum class StopBy { kContext, kParent, kTryCancel };

  matrix::ClientStyle client = matrix::ClientStyle::kSync;
  matrix::ClientStyle relay_client = matrix::ClientStyle::kSync;
  matrix::Kind kind = matrix::Kind::kUnary;
  matrix::Request request = matrix::Request::kAnswer;
  Route route;
  bool plain = false;  // a grpc::ClientContext for Current(), no ClientCall
  bool waits_for_ready = false;
  absl::Duration timeout = absl::InfiniteDuration();
  Stop stop = Stop::kNever;
  StopBy stop_by = StopBy::kContext;
  absl::Duration stop_after;  // for Stop::kDuring

  // The call ends at the latest after this time: infinite if only the server or
  // a fault ends it.
  absl::Duration Limit() const;
};

Plan MakePlan(std::mt19937& random);
std::string Describe(const Plan& plan);

// The reserves of all hops for a call with `timeout`: a handler's deadline is
// at most this much earlier than the caller's.
absl::Duration ReserveOfHops(absl::Duration timeout);

struct Outcome {
  grpc::Status status;
  int messages = 0;
  EndReason reason = EndReason::kNone;  // of a ClientCall
  absl::Duration elapsed;               // on the steady clock
};

// Returns what is wrong with `outcome`, or "". `tolerance`: how much too early
// a server's deadline may be.
std::string Problem(const Plan& plan, const Outcome& outcome,
                    absl::Duration tolerance);

}  // namespace tether::soak

#endif  // TETHER_INTEGRATION_TESTS_SOAK_PLAN_H_
