// SPDX-License-Identifier: Apache-2.0
//
// The work of a handler of the matrix, as a state machine for the styles that
// have no thread of their own for each RPC. (The sync style's handlers do the
// same in sequence: sync_server.cc.)
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MATRIX_SCRIPT_H_
#define TETHER_INTEGRATION_TESTS_MATRIX_SCRIPT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <utility>

#include "integration_tests/matrix/cell.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/status.h"

namespace tether::matrix {

// One RPC. Owns itself from Start to Over.
//
// One operation at a time: each Do… is answered by one Did…, at once or later.
class Script : public std::enable_shared_from_this<Script> {
 public:
  explicit Script(std::shared_ptr<HandlerObserver> seen)
      : seen_(std::move(seen)) {}
  virtual ~Script() = default;

 protected:
  void KeepAlive() { self_ = shared_from_this(); }

  // Called when the RPC has arrived.
  void Start(Kind kind, const Context& ctx) {
    kind_ = kind;
    ctx_ = ctx;
    begun_ = true;
    seen_->Begin(ctx);
    DoRead();
  }

  // Typed APIs with single requests or replies lack these operations. Such
  // styles answer at once, and send the reply with the status.
  virtual void DoRead() = 0;
  virtual void DoWrite() = 0;
  // Answered by Over.
  virtual void DoFinish(const grpc::Status& status) = 0;
  // Called on the thread that ends the context. Makes sure that DidEnd is
  // called where the style's handlers run.
  virtual void DoWake() = 0;

  void DidRead(bool ok, int number) {
    if (!request_) return DidReadRequest(ok, number);
    if (request_ == Request::kReadToEnd) return ok ? DoRead() : DidFail();
    if (!ok) {  // the client has sent its last message
      return kind_ == Kind::kUpload ? DoWrite() : DoFinish(grpc::Status::OK);
    }
    return kind_ == Kind::kUpload ? DoRead() : DoWrite();
  }

  void DidWrite(bool ok) {
    if (request_ == Request::kWait) return WaitForEnd();
    if (request_ == Request::kWriteToEnd) return ok ? DoWrite() : DidFail();
    if (!ok) return DoFinish(grpc::Status::CANCELLED);
    if (kind_ == Kind::kChat) return DoRead();
    if (kind_ == Kind::kDownload && ++written_ < kMessages) return DoWrite();
    DoFinish(grpc::Status::OK);
  }

  void DidEnd() {
    seen_->End(ctx_);
    DoFinish(StatusOf(ctx_));
  }

  void DidFail() {
    seen_->Fail(ctx_);
    const grpc::Status status = StatusOf(ctx_);
    // The client has sent its last message, and expects a reply.
    if (status.ok() && kind_ == Kind::kUpload) return DoWrite();
    DoFinish(status);
  }

  void Over() {
    const std::shared_ptr<Script> self = std::move(self_);
    // Reset before anything that the callback uses is destroyed.
    registration_.reset();
    if (begun_) seen_->Over();
  }

  const std::shared_ptr<HandlerObserver>& seen() const { return seen_; }
  Request request() const { return *request_; }

 private:
  void DidReadRequest(bool ok, int number) {
    if (!ok) return DoFinish(grpc::Status::CANCELLED);
    request_ = static_cast<Request>(number);
    switch (*request_) {
      case Request::kFail:
        seen_->Keep(ctx_);
        return DoFinish(grpc::Status(grpc::StatusCode::NOT_FOUND, kFailure));
      case Request::kWait:
        if (kind_ == Kind::kDownload || kind_ == Kind::kChat) return DoWrite();
        return WaitForEnd();
      case Request::kAnswer:
        seen_->Keep(ctx_);
        return kind_ == Kind::kUpload ? DoRead() : DoWrite();
      case Request::kReadToEnd:
        seen_->Work(ctx_);
        return DoRead();
      case Request::kWriteToEnd:
        seen_->Work(ctx_);
        return DoWrite();
    }
  }

  void WaitForEnd() {
    // The callback may finish the RPC, and so end this script on another
    // thread, before `registration_` is made.
    const std::shared_ptr<Script> self = shared_from_this();
    seen_->Wait(ctx_);
    registration_.emplace(ctx_, [this] { DoWake(); });
  }

  const std::shared_ptr<HandlerObserver> seen_;
  std::shared_ptr<Script> self_;
  Kind kind_ = Kind::kUnary;
  Context ctx_;
  std::optional<Request> request_;
  bool begun_ = false;
  int written_ = 0;
  std::optional<Registration> registration_;
};

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_SCRIPT_H_
