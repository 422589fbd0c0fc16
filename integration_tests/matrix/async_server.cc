// SPDX-License-Identifier: Apache-2.0

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/script.h"
#include "integration_tests/matrix/server_styles.h"
#include "tether/grpc/server.h"

namespace tether::matrix {
namespace {

using Tag = std::function<void(bool ok)>;

// A completion queue, and the number of scripts that still need it.
struct Queue {
  std::unique_ptr<grpc::ServerCompletionQueue> cq;
  absl::Mutex mutex;
  int scripts ABSL_GUARDED_BY(mutex) = 0;

  void AddScript(int delta) {
    absl::MutexLock lock(&mutex);
    scripts += delta;
  }
  void WaitUntilUnused() {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(
        +[](int* count) { return *count == 0; }, &scripts));
  }
};

// One RPC on a completion queue that one thread serves. AfterFunc sets an alarm
// on the queue, because only that thread may work on the RPC.
class AsyncScript : public Script {
 public:
  AsyncScript(std::shared_ptr<HandlerObserver> seen, Queue* queue)
      : Script(std::move(seen)), queue_(queue) {
    queue_->AddScript(1);
  }
  ~AsyncScript() override { queue_->AddScript(-1); }

  // Asks gRPC for an RPC.
  void Request() {
    KeepAlive();
    DoRequest();
  }

 protected:
  virtual void DoRequest() = 0;
  // Called when the RPC has arrived.
  virtual void DidArrive() = 0;

  void DoWake() final {
    // Not "now", which gRPC rounds up: then the alarm would wait for gRPC's
    // timers, which follow the wall clock.
    alarm_.Set(cq(), gpr_inf_past(GPR_CLOCK_MONOTONIC), &wake_tag);
  }
  Queue* queue() { return queue_; }
  grpc::ServerCompletionQueue* cq() { return queue_->cq.get(); }

  Tag request_tag = [this](bool ok) { ok ? DidArrive() : Over(); };
  Tag wake_tag = [this](bool) { DidEnd(); };
  Tag finish_tag = [this](bool) { Over(); };

 private:
  Queue* const queue_;
  grpc::Alarm alarm_;
};

// Doesn't use AsyncNotifyWhenDone, like most servers.
class UnaryScript final : public AsyncScript {
 public:
  UnaryScript(std::shared_ptr<HandlerObserver> seen, Queue* queue,
              Probe::AsyncService* service)
      : AsyncScript(std::move(seen), queue), service_(service) {}

 private:
  void DoRequest() override {
    service_->RequestUnary(&sc_, &ping_, &writer_, cq(), cq(), &request_tag);
  }
  void DidArrive() override {
    std::make_shared<UnaryScript>(seen(), queue(), service_)->Request();
    Start(Kind::kUnary, ContextOf(sc_));
  }
  void DoRead() override { DidRead(true, ping_.number()); }
  void DoWrite() override { DidWrite(true); }
  void DoFinish(const grpc::Status& status) override {
    if (status.ok()) {
      writer_.Finish(Pong(), status, &finish_tag);
    } else {
      writer_.FinishWithError(status, &finish_tag);
    }
  }

  Probe::AsyncService* const service_;
  grpc::ServerContext sc_;
  Ping ping_;
  grpc::ServerAsyncResponseWriter<Pong> writer_{&sc_};
};

class UploadScript final : public AsyncScript {
 public:
  UploadScript(std::shared_ptr<HandlerObserver> seen, Queue* queue,
               Probe::AsyncService* service)
      : AsyncScript(std::move(seen), queue), service_(service) {}

 private:
  void DoRequest() override {
    service_->RequestUpload(&sc_, &reader_, cq(), cq(), &request_tag);
  }
  void DidArrive() override {
    std::make_shared<UploadScript>(seen(), queue(), service_)->Request();
    Start(Kind::kUpload, ContextOf(sc_));
  }
  void DoRead() override { reader_.Read(&ping_, &read_tag_); }
  void DoWrite() override { DidWrite(true); }
  void DoFinish(const grpc::Status& status) override {
    if (status.ok()) {
      reader_.Finish(Pong(), status, &finish_tag);
    } else {
      reader_.FinishWithError(status, &finish_tag);
    }
  }

  Probe::AsyncService* const service_;
  grpc::ServerContext sc_;
  Ping ping_;
  grpc::ServerAsyncReader<Pong, Ping> reader_{&sc_};
  Tag read_tag_ = [this](bool ok) { DidRead(ok, ping_.number()); };
};

class DownloadScript final : public AsyncScript {
 public:
  DownloadScript(std::shared_ptr<HandlerObserver> seen, Queue* queue,
                 Probe::AsyncService* service)
      : AsyncScript(std::move(seen), queue), service_(service) {}

 private:
  void DoRequest() override {
    service_->RequestDownload(&sc_, &ping_, &writer_, cq(), cq(), &request_tag);
  }
  void DidArrive() override {
    std::make_shared<DownloadScript>(seen(), queue(), service_)->Request();
    Start(Kind::kDownload, ContextOf(sc_));
  }
  void DoRead() override { DidRead(true, ping_.number()); }
  void DoWrite() override {
    writer_.Write(Payload<Pong>(request()), &write_tag_);
  }
  void DoFinish(const grpc::Status& status) override {
    writer_.Finish(status, &finish_tag);
  }

  Probe::AsyncService* const service_;
  grpc::ServerContext sc_;
  Ping ping_;
  grpc::ServerAsyncWriter<Pong> writer_{&sc_};
  Tag write_tag_ = [this](bool ok) { DidWrite(ok); };
};

class ChatScript final : public AsyncScript {
 public:
  ChatScript(std::shared_ptr<HandlerObserver> seen, Queue* queue,
             Probe::AsyncService* service)
      : AsyncScript(std::move(seen), queue), service_(service) {}

 private:
  void DoRequest() override {
    service_->RequestChat(&sc_, &stream_, cq(), cq(), &request_tag);
  }
  void DidArrive() override {
    std::make_shared<ChatScript>(seen(), queue(), service_)->Request();
    Start(Kind::kChat, ContextOf(sc_));
  }
  void DoRead() override { stream_.Read(&ping_, &read_tag_); }
  void DoWrite() override {
    stream_.Write(Payload<Pong>(request()), &write_tag_);
  }
  void DoFinish(const grpc::Status& status) override {
    stream_.Finish(status, &finish_tag);
  }

  Probe::AsyncService* const service_;
  grpc::ServerContext sc_;
  Ping ping_;
  grpc::ServerAsyncReaderWriter<Pong, Ping> stream_{&sc_};
  Tag read_tag_ = [this](bool ok) { DidRead(ok, ping_.number()); };
  Tag write_tag_ = [this](bool ok) { DidWrite(ok); };
};

// Uses AsyncNotifyWhenDone, so there is one more tag to wait for.
class GenericScript final : public AsyncScript {
 public:
  GenericScript(std::shared_ptr<HandlerObserver> seen, Queue* queue,
                grpc::AsyncGenericService* service)
      : AsyncScript(std::move(seen), queue), service_(service) {}

 private:
  void DoRequest() override {
    sc_.AsyncNotifyWhenDone(&over_tag_);
    service_->RequestCall(&sc_, &stream_, cq(), cq(), &request_tag);
  }
  void DidArrive() override {
    std::make_shared<GenericScript>(seen(), queue(), service_)->Request();
    for (Kind kind : kKinds) {
      if (sc_.method() == MethodPath(kind)) Start(kind, ContextOf(sc_));
    }
  }
  void DoRead() override { stream_.Read(&in_, &read_tag_); }
  void DoWrite() override {
    stream_.Write(Payload<grpc::ByteBuffer>(request()), &write_tag_);
  }
  void DoFinish(const grpc::Status& status) override {
    stream_.Finish(status, &half_over_tag_);
  }

  grpc::AsyncGenericService* const service_;
  grpc::GenericServerContext sc_;
  grpc::ByteBuffer in_;
  grpc::GenericServerAsyncReaderWriter stream_{&sc_};
  int to_come_ = 2;
  Tag read_tag_ = [this](bool ok) { DidRead(ok, ok ? NumberOf(in_) : 0); };
  Tag write_tag_ = [this](bool ok) { DidWrite(ok); };
  Tag half_over_tag_ = [this](bool) {
    if (--to_come_ == 0) Over();
  };
  Tag over_tag_ = half_over_tag_;
};

class AsyncServer final : public GrpcServer {
 public:
  AsyncServer(std::shared_ptr<HandlerObserver> seen, ServerOptions options,
              int port, bool generic) {
    grpc::ServerBuilder builder;
    if (generic) {
      builder.RegisterAsyncGenericService(&generic_service_);
    } else {
      builder.RegisterService(&service_);
    }
    queue_.cq = builder.AddCompletionQueue();
    BuildAndStart(builder, std::move(options), port);
    if (generic) {
      Request<GenericScript>(seen, &generic_service_);
    } else {
      Request<UnaryScript>(seen, &service_);
      Request<UploadScript>(seen, &service_);
      Request<DownloadScript>(seen, &service_);
      Request<ChatScript>(seen, &service_);
    }
    thread_ = std::thread([cq = queue_.cq.get()] {
      void* tag;
      bool ok;
      while (cq->Next(&tag, &ok)) (*static_cast<Tag*>(tag))(ok);
    });
  }
  ~AsyncServer() override { Shutdown(absl::ZeroDuration()); }

 private:
  template <typename S, typename Service>
  void Request(const std::shared_ptr<HandlerObserver>& seen, Service* service) {
    std::make_shared<S>(seen, &queue_, service)->Request();
  }

  void DidShutdown() override {
    // gRPC releases a server's calls before their handlers know that the calls
    // have ended. The handlers still need the queue for their alarms.
    queue_.WaitUntilUnused();
    queue_.cq->Shutdown();
    thread_.join();
  }

  Probe::AsyncService service_;
  grpc::AsyncGenericService generic_service_;
  Queue queue_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Server> StartAsyncServer(std::shared_ptr<HandlerObserver> seen,
                                         ServerOptions options, int port) {
  return std::make_unique<AsyncServer>(std::move(seen), std::move(options),
                                       port,
                                       /*generic=*/false);
}

std::unique_ptr<Server> StartGenericAsyncServer(
    std::shared_ptr<HandlerObserver> seen, ServerOptions options, int port) {
  return std::make_unique<AsyncServer>(std::move(seen), std::move(options),
                                       port,
                                       /*generic=*/true);
}

}  // namespace tether::matrix
