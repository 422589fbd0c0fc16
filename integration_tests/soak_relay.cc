// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/soak_relay.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "integration_tests/matrix/client.h"
#include "integration_tests/matrix/request.h"
#include "integration_tests/matrix/server_styles.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"

namespace tether::soak {
namespace {

using matrix::Kind;
using matrix::Ping;
using matrix::Pong;
using matrix::Probe;

constexpr char kAddress[] = "soak-address";
constexpr char kStyle[] = "soak-style";
constexpr char kPlain[] = "soak-plain";

std::string Metadata(const grpc::ServerContext& sc, const char* key) {
  const auto found = sc.client_metadata().find(key);
  if (found == sc.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

class RelayService final : public Probe::Service {
 public:
  RelayService(
      std::shared_ptr<matrix::HandlerObserver> seen,
      const std::map<std::string, std::shared_ptr<grpc::Channel>>& channels)
      : seen_(std::move(seen)), channels_(channels) {}

  grpc::Status Unary(grpc::ServerContext* sc, const Ping* ping,
                     Pong*) override {
    return Serve(*sc, Kind::kUnary, ReadOne(*ping), [](const Pong&) {});
  }
  grpc::Status Upload(grpc::ServerContext* sc, grpc::ServerReader<Ping>* reader,
                      Pong*) override {
    return Serve(
        *sc, Kind::kUpload, [reader](Ping* ping) { return reader->Read(ping); },
        [](const Pong&) {});
  }
  grpc::Status Download(grpc::ServerContext* sc, const Ping* ping,
                        grpc::ServerWriter<Pong>* writer) override {
    return Serve(*sc, Kind::kDownload, ReadOne(*ping),
                 [writer](const Pong& pong) { writer->Write(pong); });
  }
  grpc::Status Chat(grpc::ServerContext* sc,
                    grpc::ServerReaderWriter<Pong, Ping>* stream) override {
    return Serve(
        *sc, Kind::kChat, [stream](Ping* ping) { return stream->Read(ping); },
        [stream](const Pong& pong) { stream->Write(pong); });
  }

 private:
  static std::function<bool(Ping*)> ReadOne(const Ping& ping) {
    return [&ping](Ping* out) {
      *out = ping;
      return true;
    };
  }

  grpc::Status Serve(const grpc::ServerContext& sc, Kind kind,
                     const std::function<bool(Ping*)>& read,
                     const std::function<void(const Pong&)>& write) {
    seen_->Begin(ContextOf(sc));
    const grpc::Status status = Pass(sc, kind, read, write);
    seen_->Over();
    return status;
  }

  // Reads the first message only, and leaves the others unread.
  grpc::Status Pass(const grpc::ServerContext& sc, Kind kind,
                    const std::function<bool(Ping*)>& read,
                    const std::function<void(const Pong&)>& write) {
    Ping ping;
    if (!read(&ping)) return grpc::Status::CANCELLED;
    const auto channel = channels_.find(Metadata(sc, kAddress));
    int style = 0;
    if (channel == channels_.end() ||
        !absl::SimpleAtoi(Metadata(sc, kStyle), &style)) {
      return grpc::Status(grpc::StatusCode::INTERNAL, "no such next hop");
    }
    const auto call_next = [&](grpc::ClientContext& call) {
      return matrix::Call(static_cast<matrix::ClientStyle>(style), kind,
                          channel->second, &call,
                          static_cast<matrix::Request>(ping.number()));
    };
    matrix::Reply reply;
    if (Metadata(sc, kPlain).empty()) {
      ClientCall call(ContextOf(sc));
      reply = call_next(call);
    } else {
      grpc::ClientContext call;  // for Current(), the same context
      reply = call_next(call);
    }
    const int count = std::min(reply.messages, matrix::kMessages);
    for (int i = 0; i < count; ++i) write(Pong());
    return reply.status;
  }

  const std::shared_ptr<matrix::HandlerObserver> seen_;
  const std::map<std::string, std::shared_ptr<grpc::Channel>>& channels_;
};

class RelayServer final : public matrix::GrpcServer {
 public:
  RelayServer(
      std::shared_ptr<matrix::HandlerObserver> seen,
      const std::map<std::string, std::shared_ptr<grpc::Channel>>& channels,
      ServerOptions options, int port)
      : service_(std::move(seen), channels) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    BuildAndStart(builder, std::move(options), port);
  }
  ~RelayServer() override { Shutdown(absl::ZeroDuration()); }

 private:
  RelayService service_;
};

}  // namespace

void AddNextHop(grpc::ClientContext& call, const std::string& address,
                matrix::ClientStyle style, bool plain) {
  call.AddMetadata(kAddress, address);
  call.AddMetadata(kStyle, absl::StrCat(static_cast<int>(style)));
  if (plain) call.AddMetadata(kPlain, "1");
}

std::unique_ptr<matrix::Server> StartRelay(
    std::shared_ptr<matrix::HandlerObserver> seen,
    const std::map<std::string, std::shared_ptr<grpc::Channel>>& channels,
    ServerOptions options, int port) {
  return std::make_unique<RelayServer>(std::move(seen), channels,
                                       std::move(options), port);
}

}  // namespace tether::soak
