// SPDX-License-Identifier: Apache-2.0
//
// An application of plain gRPC, with unary methods of any name, that answers
// whenever it likes. No thread waits for its requests, so there can be many.
//
//   UnaryApp app([](const UnaryApp::Held& request) {
//     request->Answer(grpc::Status::OK, "reply to " + request->message());
//   });
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_UNARY_APP_H_
#define TETHER_SIDECAR_TESTING_UNARY_APP_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/internal/mutex.h"

namespace tether::sidecar::testing {

class UnaryApp {
 public:
  class Reactor;

  // A request and its message have arrived. If it is cancelled, it is answered
  // with CANCELLED, as far as gRPC is concerned.
  //
  // Thread safety: any thread.
  class Request {
   public:
    const std::string& method() const { return method_; }
    const std::string& message() const { return message_; }
    const std::multimap<std::string, std::string>& headers() const {
      return headers_;
    }
    // All values of one name, with commas; "" if there is none.
    std::string header(const std::string& name) const;
    // The time left on arrival. InfiniteDuration(): no deadline.
    absl::Duration timeout() const { return timeout_; }

    // Once; later answers, also those after a cancellation, have no effect.
    void Answer(const grpc::Status& status, const std::string& reply = "");

    // The application is done with it: it has answered, or it was cancelled.
    bool EndsWithin(absl::Duration time) const {
      return ended_.WaitForNotificationWithTimeout(time);
    }
    // Once it has ended.
    absl::Time ended_at() const { return ended_at_; }

    // The application notices that its caller left, or that the deadline has
    // passed.
    bool cancelled() const { return cancelled_.HasBeenNotified(); }
    bool IsCancelledWithin(absl::Duration time) const {
      return cancelled_.WaitForNotificationWithTimeout(time);
    }
    // Once cancelled().
    absl::Time cancelled_at() const { return cancelled_at_; }

   private:
    friend class Reactor;

    std::string method_;
    std::string message_;
    std::multimap<std::string, std::string> headers_;
    absl::Duration timeout_;
    absl::Time ended_at_;
    absl::Notification ended_;
    absl::Time cancelled_at_;
    absl::Notification cancelled_;

    mutable internal::Mutex mutex_;
    Reactor* reactor_ ABSL_GUARDED_BY(mutex_);  // null: it is answered
  };
  using Held = std::shared_ptr<Request>;
  using Handler = std::function<void(const Held&)>;

  // `handler` runs on gRPC's threads, concurrently, and must not block. Ends
  // the program if it can't listen.
  explicit UnaryApp(Handler handler, const std::string& listen = "127.0.0.1:0");
  // Cancels the requests that aren't answered, and waits for them.
  ~UnaryApp();

  // "127.0.0.1:port", or what it was told to listen on.
  const std::string& address() const { return address_; }

 private:
  class Service;

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_UNARY_APP_H_
