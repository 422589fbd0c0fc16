// SPDX-License-Identifier: Apache-2.0
//
// A client of plain gRPC, for unary calls of any method.
//
//   PlainClient client(address);
//   auto call = client.Call({"/shop.Orders/Get", {{"x-tenant", "a"}}});
//   call->Wait()
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_PLAIN_CLIENT_H_
#define TETHER_SIDECAR_TESTING_PLAIN_CLIENT_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace tether::sidecar::testing {

using Headers = std::vector<std::pair<std::string, std::string>>;

// A call that has been made.
//
// Thread safety: any thread.
class PlainCall {
 public:
  // Returns its status. If it doesn't end, the test fails.
  grpc::Status Wait();
  // Whether it ends within `time`.
  bool EndsWithin(absl::Duration time) {
    return ended_.WaitForNotificationWithTimeout(time);
  }
  bool ended() const { return ended_.HasBeenNotified(); }
  void Cancel() { context_.TryCancel(); }

  // Once it has ended:
  const grpc::Status& status() const { return status_; }
  const std::string& reply() const { return reply_; }
  // The time of its end.
  absl::Time ended_at() const { return ended_at_; }
  // Initial and trailing metadata.
  std::multimap<std::string, std::string> received() const;

 private:
  friend class PlainClient;

  std::string method_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_buffer_, reply_buffer_;
  grpc::Status status_;
  std::string reply_;
  absl::Time ended_at_;
  absl::Notification ended_;
};

// Thread safety: any thread.
class PlainClient {
 public:
  struct Request {
    std::string method;
    Headers headers = {};
    std::string message = "";
    absl::Duration timeout = absl::InfiniteDuration();
    bool wait_for_ready = false;
  };
  using Done = std::function<void(PlainCall&)>;

  explicit PlainClient(const std::string& address);
  // With interceptors of the test's choice.
  explicit PlainClient(const std::shared_ptr<grpc::Channel>& channel);
  // Cancels the calls that run, and waits for them.
  ~PlainClient();
  PlainClient(const PlainClient&) = delete;
  PlainClient& operator=(const PlainClient&) = delete;

  // Makes a call. `done` runs on a thread of gRPC's when it has ended, and must
  // not block.
  std::shared_ptr<PlainCall> Call(const Request& request, Done done = nullptr);

 private:
  // The calls that run, and those whose callback does: gRPC must not destroy a
  // channel on the thread of a callback.
  class Running;

  grpc::GenericStub stub_;
  const std::shared_ptr<Running> running_;
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_PLAIN_CLIENT_H_
