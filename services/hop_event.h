// SPDX-License-Identifier: Apache-2.0
//
// One HopEvent for each request that a service handled.

#ifndef SHOP_SERVICES_HOP_EVENT_H_
#define SHOP_SERVICES_HOP_EVENT_H_

#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>

#include "absl/strings/string_view.h"
#include "shop/v1/demo.pb.h"
#include "tether/context.h"

namespace shop {

// Receives the events. It is called on the handler's thread, and must be
// thread-safe.
using HopSink = std::function<void(const v1::HopEvent&)>;

// Writes each event to standard output, as one line of JSON.
HopSink HopsToStdout();

// Records one request at one hop. Make it at the start of the handler.
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

  // Sends the event to `sink`, unless `sink` is empty. The outcome is `error`
  // if End() wasn't called, because the handler threw.
  ~HopRecorder();

  // Records how the handler ended: with the context's reason if the context has
  // ended, otherwise with `status`. Returns `status`.
  grpc::Status End(grpc::Status status);

 private:
  const HopSink& sink_;
  const tether::Context ctx_;
  const std::chrono::steady_clock::time_point start_;
  v1::HopEvent event_;
};

}  // namespace shop

#endif  // SHOP_SERVICES_HOP_EVENT_H_
