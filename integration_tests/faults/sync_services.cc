// SPDX-License-Identifier: Apache-2.0

#include <utility>

#include "integration_tests/faults/hop_services.h"
#include "integration_tests/matrix/request.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace tether::faults {
namespace {

using matrix::Request;
using testing::Ping;
using testing::Pong;
using testing::Probe;

class Handler {
 public:
  Handler(Work& work, const grpc::ServerContext& sc)
      : ctx(ContextOf(sc)), at_work_(work, ctx) {}
  ~Handler() { at_work_.Ends(); }

  const Context ctx;

 private:
  AtWork at_work_;
};

class SyncLeaf final : public Probe::Service {
 public:
  explicit SyncLeaf(Work& work) : work_(work) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong*) override {
    const Handler handler(work_, *sc);
    return WaitIfAsked(handler.ctx, *ping);
  }

  grpc::Status Upload(grpc::ServerContext* sc, grpc::ServerReader<Ping>* reader,
                      Pong*) override {
    const Handler handler(work_, *sc);
    Ping ping;
    while (reader->Read(&ping)) {
      grpc::Status ended = WaitIfAsked(handler.ctx, ping);
      if (!ended.ok()) return ended;
    }
    return StatusOf(handler.ctx);
  }

  grpc::Status Download(grpc::ServerContext* sc, const Ping* ping,
                        grpc::ServerWriter<Pong>* writer) override {
    const Handler handler(work_, *sc);
    const auto request = static_cast<Request>(ping->number());
    if (request == Request::kWriteToEnd) {
      while (writer->Write(matrix::Payload<Pong>(request))) {
      }
      return StatusOf(handler.ctx);
    }
    for (int i = 0; i < matrix::kMessages; ++i) {
      if (!writer->Write(Pong())) return StatusOf(handler.ctx);
    }
    return WaitIfAsked(handler.ctx, *ping);
  }

  grpc::Status Chat(grpc::ServerContext* sc,
                    grpc::ServerReaderWriter<Pong, Ping>* stream) override {
    const Handler handler(work_, *sc);
    Ping ping;
    while (stream->Read(&ping)) {
      if (!stream->Write(Pong())) break;
      grpc::Status ended = WaitIfAsked(handler.ctx, ping);
      if (!ended.ok()) return ended;
    }
    return StatusOf(handler.ctx);
  }

 private:
  static grpc::Status WaitIfAsked(const Context& ctx, const Ping& ping) {
    if (ping.number() != static_cast<int>(Request::kWait)) {
      return grpc::Status::OK;
    }
    ctx.Wait();
    return StatusOf(ctx);
  }

  Work& work_;
};

class SyncRelay final : public Probe::Service {
 public:
  SyncRelay(Work& work, const std::shared_ptr<grpc::Channel>& next)
      : work_(work), next_(Probe::NewStub(next)) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong* pong) override {
    const Handler handler(work_, *sc);
    ClientCall call(handler.ctx);
    return next_->Unary(&call, *ping, pong);
  }

  grpc::Status Upload(grpc::ServerContext* sc, grpc::ServerReader<Ping>* reader,
                      Pong* pong) override {
    const Handler handler(work_, *sc);
    ClientCall call(handler.ctx);
    const auto writer = next_->Upload(&call, pong);
    Ping ping;
    while (reader->Read(&ping) && writer->Write(ping)) {
    }
    writer->WritesDone();
    return writer->Finish();
  }

  grpc::Status Download(grpc::ServerContext* sc, const Ping* ping,
                        grpc::ServerWriter<Pong>* writer) override {
    const Handler handler(work_, *sc);
    auto [ctx, cancel] = WithCancel(handler.ctx);
    ClientCall call(ctx);
    const auto reader = next_->Download(&call, *ping);
    Pong pong;
    while (reader->Read(&pong)) {
      if (!writer->Write(pong)) cancel();
    }
    return reader->Finish();
  }

  // One question and one answer at a time.
  grpc::Status Chat(grpc::ServerContext* sc,
                    grpc::ServerReaderWriter<Pong, Ping>* stream) override {
    const Handler handler(work_, *sc);
    auto [ctx, cancel] = WithCancel(handler.ctx);
    ClientCall call(ctx);
    const auto next = next_->Chat(&call);
    Ping ping;
    Pong pong;
    while (stream->Read(&ping) && next->Write(ping) && next->Read(&pong)) {
      if (!stream->Write(pong)) cancel();
    }
    next->WritesDone();
    while (next->Read(&pong)) {
    }
    return next->Finish();
  }

 private:
  Work& work_;
  const std::unique_ptr<Probe::Stub> next_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSyncService(
    Work& work, const std::shared_ptr<grpc::Channel>& next) {
  if (next == nullptr) return std::make_unique<SyncLeaf>(work);
  return std::make_unique<SyncRelay>(work, next);
}

}  // namespace tether::faults
