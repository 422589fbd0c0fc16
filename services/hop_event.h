// What a service tells about each request that it handled: one HopEvent.

#ifndef SHOP_SERVICES_HOP_EVENT_H_
#define SHOP_SERVICES_HOP_EVENT_H_

#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>

#include "absl/strings/string_view.h"
#include "shop/v1/demo.pb.h"
#include "tether/context.h"

namespace shop {

// Where events go. Called on the handler's thread; must be thread-safe.
using HopSink = std::function<void(const v1::HopEvent&)>;

// Writes each event to standard output, as one line of JSON.
HopSink HopsToStdout();

// Writes down one request at one hop, from its making, at the start of the
// handler, to its end.
//
// Thread safety: none. Lifetime: `sink` must outlive it.
//
// Example:
//
//   tether::Context ctx = tether::ContextOf(*server_context);
//   shop::HopRecorder hop(sink_, "inventory", "GetStock", ctx);
//   …
//   return hop.End(grpc::Status::OK);
class HopRecorder {
 public:
  HopRecorder(const HopSink& sink, absl::string_view service,
              absl::string_view method, tether::Context ctx);
  HopRecorder(const HopRecorder&) = delete;
  HopRecorder& operator=(const HopRecorder&) = delete;

  // Sends the event to `sink`, unless that is empty. The outcome is `error` if
  // End() was not called (the handler threw).
  ~HopRecorder();

  // Notes how the handler ended: by the reason why the context did, if it has;
  // else by `status`. Returns `status`.
  grpc::Status End(grpc::Status status);

 private:
  const HopSink& sink_;
  const tether::Context ctx_;
  const std::chrono::steady_clock::time_point start_;
  v1::HopEvent event_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_HOP_EVENT_H_
