// SPDX-License-Identifier: Apache-2.0

#include <grpcpp/generic/async_generic_service.h>

#include <utility>

#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/script.h"
#include "integration_tests/matrix/server_styles.h"
#include "tether/grpc/server.h"

namespace tether::matrix {
namespace {

// AfterFunc finishes the reactor, on the thread that ends the context.
template <typename Reactor>
class CallbackScript : public Script, public Reactor {
 public:
  explicit CallbackScript(std::shared_ptr<HandlerObserver> seen)
      : Script(std::move(seen)) {}

  void Serve(Kind kind, const Context& ctx) {
    this->KeepAlive();
    this->Start(kind, ctx);
  }

  void OnDone() final { this->Over(); }

 protected:
  void DoFinish(const grpc::Status& status) final { Reactor::Finish(status); }
  void DoWake() final { this->DidEnd(); }
};

template <typename S, typename... Args>
S* StartScript(Kind kind, grpc::CallbackServerContext* sc,
               std::shared_ptr<HandlerObserver> seen, Args&&... args) {
  const auto script =
      std::make_shared<S>(std::move(seen), std::forward<Args>(args)...);
  script->Serve(kind, ContextOf(*sc));
  return script.get();
}

class UnaryScript final : public CallbackScript<grpc::ServerUnaryReactor> {
 public:
  UnaryScript(std::shared_ptr<HandlerObserver> seen, const Ping* ping)
      : CallbackScript(std::move(seen)), ping_(ping) {}

 private:
  void DoRead() override { DidRead(true, ping_->number()); }
  void DoWrite() override { DidWrite(true); }

  const Ping* const ping_;
};

class UploadScript final
    : public CallbackScript<grpc::ServerReadReactor<Ping>> {
 public:
  using CallbackScript::CallbackScript;

 private:
  void DoRead() override { StartRead(&ping_); }
  void OnReadDone(bool ok) override { DidRead(ok, ping_.number()); }
  void DoWrite() override { DidWrite(true); }

  Ping ping_;
};

class DownloadScript final
    : public CallbackScript<grpc::ServerWriteReactor<Pong>> {
 public:
  DownloadScript(std::shared_ptr<HandlerObserver> seen, const Ping* ping)
      : CallbackScript(std::move(seen)), ping_(ping) {}

 private:
  void DoRead() override { DidRead(true, ping_->number()); }
  void DoWrite() override {
    pong_ = Payload<Pong>(request());
    StartWrite(&pong_);
  }
  void OnWriteDone(bool ok) override { DidWrite(ok); }

  const Ping* const ping_;
  Pong pong_;
};

template <typename In, typename Out>
class BidiScript final
    : public CallbackScript<grpc::ServerBidiReactor<In, Out>> {
 public:
  explicit BidiScript(std::shared_ptr<HandlerObserver> seen)
      : CallbackScript<grpc::ServerBidiReactor<In, Out>>(std::move(seen)) {}

 private:
  void DoRead() override { this->StartRead(&in_); }
  void OnReadDone(bool ok) override {
    this->DidRead(ok, ok ? NumberOf(in_) : 0);
  }
  void DoWrite() override {
    out_ = Payload<Out>(this->request());
    this->StartWrite(&out_);
  }
  void OnWriteDone(bool ok) override { this->DidWrite(ok); }

  In in_;
  Out out_;
};

class CallbackService final : public Probe::CallbackService {
 public:
  explicit CallbackService(std::shared_ptr<HandlerObserver> seen)
      : seen_(std::move(seen)) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* sc,
                                  const Ping* ping, Pong*) override {
    return StartScript<UnaryScript>(Kind::kUnary, sc, seen_, ping);
  }
  grpc::ServerReadReactor<Ping>* Upload(grpc::CallbackServerContext* sc,
                                        Pong*) override {
    return StartScript<UploadScript>(Kind::kUpload, sc, seen_);
  }
  grpc::ServerWriteReactor<Pong>* Download(grpc::CallbackServerContext* sc,
                                           const Ping* ping) override {
    return StartScript<DownloadScript>(Kind::kDownload, sc, seen_, ping);
  }
  grpc::ServerBidiReactor<Ping, Pong>* Chat(
      grpc::CallbackServerContext* sc) override {
    return StartScript<BidiScript<Ping, Pong>>(Kind::kChat, sc, seen_);
  }

 private:
  const std::shared_ptr<HandlerObserver> seen_;
};

class GenericCallbackService final : public grpc::CallbackGenericService {
 public:
  explicit GenericCallbackService(std::shared_ptr<HandlerObserver> seen)
      : seen_(std::move(seen)) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* sc) override {
    for (Kind kind : kKinds) {
      if (sc->method() == MethodPath(kind)) {
        return StartScript<BidiScript<grpc::ByteBuffer, grpc::ByteBuffer>>(
            kind, sc, seen_);
      }
    }
    return grpc::CallbackGenericService::CreateReactor(sc);
  }

 private:
  const std::shared_ptr<HandlerObserver> seen_;
};

class CallbackServer final : public GrpcServer {
 public:
  CallbackServer(std::shared_ptr<HandlerObserver> seen, ServerOptions options,
                 int port)
      : service_(std::move(seen)) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    BuildAndStart(builder, std::move(options), port);
  }
  ~CallbackServer() override { Shutdown(absl::ZeroDuration()); }

 private:
  CallbackService service_;
};

class GenericCallbackServer final : public GrpcServer {
 public:
  GenericCallbackServer(std::shared_ptr<HandlerObserver> seen,
                        ServerOptions options, int port)
      : service_(std::move(seen)) {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&service_);
    BuildAndStart(builder, std::move(options), port);
  }
  ~GenericCallbackServer() override { Shutdown(absl::ZeroDuration()); }

 private:
  GenericCallbackService service_;
};

}  // namespace

std::unique_ptr<Server> StartCallbackServer(
    std::shared_ptr<HandlerObserver> seen, ServerOptions options, int port) {
  return std::make_unique<CallbackServer>(std::move(seen), std::move(options),
                                          port);
}

std::unique_ptr<Server> StartGenericCallbackServer(
    std::shared_ptr<HandlerObserver> seen, ServerOptions options, int port) {
  return std::make_unique<GenericCallbackServer>(std::move(seen),
                                                 std::move(options), port);
}

}  // namespace tether::matrix
