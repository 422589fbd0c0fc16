// SPDX-License-Identifier: Apache-2.0

#include <functional>
#include <utility>

#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server_styles.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/testing/give_up.h"

namespace tether::matrix {
namespace {

using testing::kGiveUp;

grpc::Status ServeRequest(HandlerObserver& seen, Kind kind, const Context& ctx,
                          const std::function<bool(Ping*)>& read,
                          const std::function<bool(const Pong&)>& write) {
  Ping ping;
  if (!read(&ping)) return grpc::Status::CANCELLED;
  switch (static_cast<Request>(ping.number())) {
    case Request::kFail:
      seen.Keep(ctx);
      return grpc::Status(grpc::StatusCode::NOT_FOUND, kFailure);
    case Request::kWait:
      if (kind == Kind::kDownload || kind == Kind::kChat) write(Pong());
      seen.Wait(ctx);
      ctx.WaitFor(kGiveUp);
      seen.End(ctx);
      return StatusOf(ctx);
    case Request::kReadToEnd:
      seen.Work(ctx);
      while (read(&ping)) {
      }
      seen.Fail(ctx);
      return StatusOf(ctx);
    case Request::kWriteToEnd:
      seen.Work(ctx);
      while (write(Payload<Pong>(Request::kWriteToEnd))) {
      }
      seen.Fail(ctx);
      return StatusOf(ctx);
    case Request::kAnswer:
      break;
  }
  seen.Keep(ctx);
  switch (kind) {
    case Kind::kUnary:
      break;
    case Kind::kUpload:
      while (read(&ping)) {
      }
      break;
    case Kind::kDownload:
      for (int i = 0; i < kMessages; ++i) write(Pong());
      break;
    case Kind::kChat:
      do {
        write(Pong());
      } while (read(&ping));
      break;
  }
  return grpc::Status::OK;
}

grpc::Status Serve(HandlerObserver& seen, Kind kind, const Context& ctx,
                   const std::function<bool(Ping*)>& read,
                   const std::function<bool(const Pong&)>& write) {
  seen.Begin(ctx);
  const grpc::Status status = ServeRequest(seen, kind, ctx, read, write);
  seen.Over();
  return status;
}

class SyncService final : public Probe::Service {
 public:
  explicit SyncService(std::shared_ptr<HandlerObserver> seen)
      : seen_(std::move(seen)) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong*) override {
    return Serve(*seen_, Kind::kUnary, ContextOf(*sc), ReadOne(*ping),
                 [](const Pong&) { return true; });
  }
  grpc::Status Upload(grpc::ServerContext* sc, grpc::ServerReader<Ping>* reader,
                      Pong*) override {
    return Serve(
        *seen_, Kind::kUpload, ContextOf(*sc),
        [reader](Ping* ping) { return reader->Read(ping); },
        [](const Pong&) { return true; });
  }
  grpc::Status Download(grpc::ServerContext* sc, const Ping* ping,
                        grpc::ServerWriter<Pong>* writer) override {
    return Serve(*seen_, Kind::kDownload, ContextOf(*sc), ReadOne(*ping),
                 [writer](const Pong& pong) { return writer->Write(pong); });
  }
  grpc::Status Chat(grpc::ServerContext* sc,
                    grpc::ServerReaderWriter<Pong, Ping>* stream) override {
    return Serve(
        *seen_, Kind::kChat, ContextOf(*sc),
        [stream](Ping* ping) { return stream->Read(ping); },
        [stream](const Pong& pong) { return stream->Write(pong); });
  }

 private:
  static std::function<bool(Ping*)> ReadOne(const Ping& ping) {
    return [&ping](Ping* out) {
      *out = ping;
      return true;
    };
  }

  const std::shared_ptr<HandlerObserver> seen_;
};

class SyncServer final : public GrpcServer {
 public:
  SyncServer(std::shared_ptr<HandlerObserver> seen, ServerOptions options,
             int port)
      : service_(std::move(seen)) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    BuildAndStart(builder, std::move(options), port);
  }
  ~SyncServer() override { Shutdown(absl::ZeroDuration()); }

 private:
  SyncService service_;
};

}  // namespace

std::unique_ptr<Server> StartSyncServer(std::shared_ptr<HandlerObserver> seen,
                                        ServerOptions options, int port) {
  return std::make_unique<SyncServer>(std::move(seen), std::move(options),
                                      port);
}

}  // namespace tether::matrix
