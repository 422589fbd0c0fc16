// SPDX-License-Identifier: Apache-2.0

#include <grpcpp/generic/generic_stub.h>

#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/faults/hop_services.h"
#include "integration_tests/matrix/request.h"
#include "tether/after_func.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace tether::faults {
namespace {

using grpc::ByteBuffer;
using matrix::Request;

// ---- The leaf --------------------------------------------------------------

// One request, of whatever kind. The operations come one after another; the end
// of the context may come at any time. Deletes itself.
class LeafReactor final : public grpc::ServerGenericBidiReactor {
 public:
  LeafReactor(Work& work, const grpc::GenericCallbackServerContext& sc)
      : ctx_(ContextOf(sc)),
        at_work_(work, ctx_),
        is_download_(sc.method() ==
                     matrix::MethodPath(matrix::Kind::kDownload)),
        is_chat_(sc.method() == matrix::MethodPath(matrix::Kind::kChat)) {}

  // The second step: the context may end at once.
  void Start() {
    StartRead(&in_);
    at_end_.emplace(ctx_, [this] { End(StatusOf(ctx_)); });
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {  // the caller has sent all, or is gone
      return first_ ? End(grpc::Status::CANCELLED) : Answer();
    }
    if (first_) {
      request_ = static_cast<Request>(matrix::NumberOf(in_));
      first_ = false;
    }
    if (is_chat_ || is_download_) return Write();
    if (request_ != Request::kWait) Read();
  }

  void OnWriteDone(bool ok) override {
    if (!ok || over_) return End(ok ? grpc::Status::OK : StatusOf(ctx_));
    if (request_ == Request::kWriteToEnd) return Write();
    if (request_ == Request::kWait) return;
    if (is_chat_) return Read();
    if (++written_ < matrix::kMessages) return Write();
    End(grpc::Status::OK);
  }

  void Answer() {
    if (is_chat_) return End(grpc::Status::OK);
    over_ = true;
    Write();
  }

  // No operation may start once the reactor is finished. The reactor lives at
  // least until the reaction that calls these has returned.
  void Read() {
    const absl::MutexLock lock(&mutex_);
    if (!finished_) StartRead(&in_);
  }
  void Write() {
    const absl::MutexLock lock(&mutex_);
    if (finished_) return;
    out_ = matrix::Payload<ByteBuffer>(request_);
    StartWrite(&out_);
  }
  // Finish ends the context, so it calls `at_end_`: not under the lock.
  void End(const grpc::Status& status) {
    {
      const absl::MutexLock lock(&mutex_);
      if (finished_) return;
      finished_ = true;
    }
    at_work_.Ends();
    Finish(status);
  }

  void OnDone() override {
    at_end_.reset();
    delete this;
  }

  const Context ctx_;
  AtWork at_work_;
  const bool is_download_;
  const bool is_chat_;
  std::optional<Registration> at_end_;
  absl::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  // Of the reactions.
  ByteBuffer in_, out_;
  bool first_ = true;
  bool over_ = false;  // the message that is written is the answer
  int written_ = 0;
  Request request_ = Request::kAnswer;
};

class CallbackLeaf final : public grpc::CallbackGenericService {
 public:
  explicit CallbackLeaf(Work& work) : work_(work) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* sc) override {
    auto* reactor = new LeafReactor(work_, *sc);
    reactor->Start();
    return reactor;
  }

 private:
  Work& work_;
};

// ---- The relay -------------------------------------------------------------

// Passes the messages of one request on, both ways. The request is finished
// with the status of the call to the next hop, so nothing else finishes it.
class Relayed final : public grpc::ServerGenericBidiReactor {
 public:
  Relayed(Work& work, grpc::GenericStub& next,
          const grpc::GenericCallbackServerContext& sc)
      : at_work_(work, ContextOf(sc)), call_(ContextOf(sc)), to_next_(*this) {
    next.PrepareBidiStreamingCall(&call_, sc.method(), grpc::StubOptions(),
                                  &to_next_);
    to_next_.AddHold();
    to_next_.StartRead(&from_next_);
    to_next_.StartCall();
    StartRead(&from_caller_);
  }

 private:
  class ToNext final : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
   public:
    explicit ToNext(Relayed& relayed) : relayed_(relayed) {}

    void OnReadDone(bool ok) override {
      if (!ok) return relayed_.NoMoreToNext();  // the call is over
      AddHold();  // until OnWriteDone of the request has read on
      relayed_.StartWrite(&relayed_.from_next_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) relayed_.StartRead(&relayed_.from_caller_);
    }
    void OnDone(const grpc::Status& status) override {
      relayed_.at_work_.Ends();
      relayed_.Finish(status);  // may delete this
    }

   private:
    Relayed& relayed_;
  };

  void OnReadDone(bool ok) override {
    {
      const absl::MutexLock lock(&mutex_);
      if (!may_write_) return;
      if (ok) return to_next_.StartWrite(&from_caller_);
      to_next_.StartWritesDone();
    }
    NoMoreToNext();
  }

  // Also after a failure: the read ends with the call.
  void OnWriteDone(bool) override {
    to_next_.StartRead(&from_next_);
    to_next_.RemoveHold();
  }

  // Drops the hold that keeps the call open for writes.
  void NoMoreToNext() {
    {
      const absl::MutexLock lock(&mutex_);
      if (!may_write_) return;
      may_write_ = false;
    }
    to_next_.RemoveHold();
  }

  void OnDone() override { delete this; }

  AtWork at_work_;
  ClientCall call_;
  ToNext to_next_;
  ByteBuffer from_caller_, from_next_;
  absl::Mutex mutex_;
  bool may_write_ ABSL_GUARDED_BY(mutex_) = true;
};

class CallbackRelay final : public grpc::CallbackGenericService {
 public:
  CallbackRelay(Work& work, const std::shared_ptr<grpc::Channel>& next)
      : work_(work), next_(next) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* sc) override {
    return new Relayed(work_, next_, *sc);
  }

 private:
  Work& work_;
  grpc::GenericStub next_;
};

}  // namespace

AtWork::AtWork(Work& work, const Context& ctx)
    : work_(work), deadline_(ctx.Deadline()) {
  ++work_.entered;
  ++work_.active;
}

void AtWork::Ends() {
  const int64_t late = absl::ToInt64Microseconds(absl::Now() - deadline_);
  int64_t most = work_.late_us;
  while (late > most && !work_.late_us.compare_exchange_weak(most, late)) {
  }
}

std::unique_ptr<grpc::CallbackGenericService> MakeCallbackService(
    Work& work, const std::shared_ptr<grpc::Channel>& next) {
  if (next == nullptr) return std::make_unique<CallbackLeaf>(work);
  return std::make_unique<CallbackRelay>(work, next);
}

}  // namespace tether::faults
