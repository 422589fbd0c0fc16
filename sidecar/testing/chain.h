// SPDX-License-Identifier: Apache-2.0
//
// The fixture of tests of correlation. Two sidecars, each beside an application
// of plain gRPC:
//
//   client → [sidecar 1] → front → [sidecar 1] → [sidecar 2] → leaf
//
//   class MyTest : public testing::Chain {};
//
//   TEST_F(MyTest, …) {
//     Start(Mode::kFull);
//     auto call = client().Call({kFrontMethod, {}, "1"});
//     const UnaryApp::Held at_leaf = LeafRequest("1");
//     call->Cancel();
//     EXPECT_TRUE(at_leaf->IsCancelledWithin(kPrompt));
//   }
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_CHAIN_H_
#define TETHER_SIDECAR_TESTING_CHAIN_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "sidecar/correlator.h"
#include "sidecar/counters.h"
#include "sidecar/options.h"
#include "sidecar/sidecar.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/unary_app.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/internal/mutex.h"

namespace tether::sidecar::testing {

inline constexpr char kFrontMethod[] = "/shop.Front/Get";
inline constexpr char kLeafMethod[] = "/shop.Leaf/Get";

// What must happen at once happens within this time, and what must not happen
// doesn't within kNever. An idle machine needs 1 ms or two; the limit is for
// busy ones, with sanitizers.
inline constexpr absl::Duration kPrompt = absl::Seconds(2);
inline constexpr absl::Duration kNever = absl::Milliseconds(150);

class Chain : public tether::testing::GrpcLeakCheckedTest {
 protected:
  ~Chain() override { Stop(); }
  void TearDown() override;

  // Starts all of it. Change front_options_ and leaf_options_ before; the mode
  // is that of both sidecars.
  void Start(Mode mode);
  // Ends all calls that the handlers of both applications hold.
  void Stop();

  PlainClient& client() { return *client_; }
  Sidecar& front_sidecar() { return *front_sidecar_; }
  Sidecar& leaf_sidecar() { return *leaf_sidecar_; }
  std::string front_address() const;
  // What the front's sidecar has counted since Start().
  int64_t Counted(Count count) const {
    return front_sidecar_->counters()[count] - before_[count];
  }
  // For how many calls it has found what, since then.
  int64_t Found(int64_t Correlator::Stats::*kind) const {
    return front_sidecar_->correlator_stats().*kind - found_before_.*kind;
  }
  // As Counted, once it is at least `least`, or after kPrompt: a call counts as
  // cut when its status arrives, a moment after its callee has been told.
  int64_t CountedOnce(Count count, int64_t least) const;

  // What an application does whose instrumentation carries these headers over:
  // makes a call of the leaf for `request`, with its message, and answers with
  // what comes back. By default, the front does this with all requests.
  void Forward(const UnaryApp::Held& request);
  // The call of that, without the answer. `done` may be null.
  std::shared_ptr<PlainCall> CallLeaf(const UnaryApp::Held& request,
                                      PlainClient::Done done = nullptr);
  // Without any request.
  std::shared_ptr<PlainCall> CallLeaf(PlainClient::Request request);

  // Waits for the request with this message at either application. Fails the
  // test and returns one without reactor if it doesn't come.
  UnaryApp::Held LeafRequest(const std::string& message);
  UnaryApp::Held FrontRequest(const std::string& message);
  size_t leaf_requests();
  size_t front_requests();

  SidecarOptions front_options_;
  SidecarOptions leaf_options_;

  // The headers that the front carries over.
  std::set<std::string> carried_ = {"baggage", "traceparent", "tracestate"};
  // The timeout of the front's calls.
  absl::Duration own_timeout_ = absl::InfiniteDuration();
  // By default the front forwards, and the leaf never answers.
  UnaryApp::Handler at_front_ = [this](const auto& held) { Forward(held); };
  UnaryApp::Handler at_leaf_ = [](const auto&) {};

 private:
  // The requests that an application has got, by message.
  class Log {
   public:
    void Add(const UnaryApp::Held& request);
    UnaryApp::Held Await(const std::string& message);
    size_t size();
    void Clear();

   private:
    internal::Mutex mutex_;
    std::map<std::string, UnaryApp::Held> requests_ ABSL_GUARDED_BY(mutex_);
    size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  };

  Log at_front_log_, at_leaf_log_;
  CounterValues before_;
  Correlator::Stats found_before_;
  std::unique_ptr<UnaryApp> leaf_;
  std::unique_ptr<Sidecar> leaf_sidecar_;
  std::unique_ptr<UnaryApp> front_;
  std::unique_ptr<Sidecar> front_sidecar_;
  std::unique_ptr<PlainClient> to_leaf_;  // through the front's sidecar
  std::unique_ptr<PlainClient> client_;
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_CHAIN_H_
