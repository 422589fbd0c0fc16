// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/testing/generic_server.h"

#include <grpcpp/alarm.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"
#include "tether/grpc/client.h"
#include "tether/grpc/testing/loopback.h"

namespace tether::testing {
namespace {

// What a completion queue's tag points to.
using Tag = std::function<void(bool ok)>;

std::string Text(const grpc::string_ref& text) {
  return std::string(text.data(), text.size());
}

}  // namespace

std::string GenericServer::Call::Header(const std::string& key) const {
  std::string values;
  const auto [begin, end] = sc.client_metadata().equal_range(key);
  for (auto it = begin; it != end; ++it) {
    if (it != begin) values += ",";
    values += Text(it->second);
  }
  return values;
}

// One call. Deletes itself when it is over: when its last operation and the
// notification of its end are both here.
class GenericServer::Rpc {
 public:
  explicit Rpc(GenericServer& server) : server_(server), stream_(&call_.sc) {
    server_.CountLive(1);
    call_.sc.AsyncNotifyWhenDone(&done_);
    server_.service_.RequestCall(&call_.sc, &stream_, server_.queue_.get(),
                                 server_.queue_.get(), &arrived_);
  }
  ~Rpc() {
    if (handler_.joinable()) handler_.join();
    call_.incoming.reset();
    server_.CountLive(-1);
  }

 private:
  void OnArrived(bool ok) {
    // There is no call, and so no notification of its end.
    if (!ok) return delete this;
    new Rpc(server_);
    call_.incoming.emplace(server_.shared_, call_.sc, call_.sc.method());
    stream_.Read(&message_, &read_);
  }

  void OnRead(bool ok) {
    if (!ok && call_.incoming->context().Done() == false) {
      call_.incoming->OnOperationFailed();
    }
    handler_ = std::thread([this] { Handle(); });
  }

  void Handle() {
    const std::optional<grpc::Status> status = server_.handler_(call_);
    if (!status.has_value()) {
      call_.incoming.reset();
      call_.sc.TryCancel();
      alarm_.Set(server_.queue_.get(), std::chrono::system_clock::now(),
                 &finished_);
      return;
    }
    const grpc::Status sent =
        call_.incoming->Answer(*status, status->ok(), call_.trailing);
    for (const auto& [key, value] : call_.trailing) {
      call_.sc.AddTrailingMetadata(key, value);
    }
    const grpc::Slice empty;
    if (sent.ok()) {
      stream_.WriteAndFinish(grpc::ByteBuffer(&empty, 1), grpc::WriteOptions(),
                             sent, &finished_);
    } else {
      stream_.Finish(sent, &finished_);
    }
  }

  void OnDone() {
    if (call_.incoming.has_value()) call_.incoming->OnCallEnded();
    if (++last_steps_ == 2) delete this;
  }

  void OnFinished() {
    if (++last_steps_ == 2) delete this;
  }

  GenericServer& server_;
  Call call_;
  grpc::GenericServerAsyncReaderWriter stream_;
  grpc::ByteBuffer message_;
  grpc::Alarm alarm_;
  std::thread handler_;
  int last_steps_ = 0;

  Tag arrived_ = [this](bool ok) { OnArrived(ok); };
  Tag read_ = [this](bool ok) { OnRead(ok); };
  Tag done_ = [this](bool) { OnDone(); };
  Tag finished_ = [this](bool) { OnFinished(); };
};

GenericServer::GenericServer(ServerOptions options, Handler handler)
    : shared_(std::move(options)), handler_(std::move(handler)) {
  grpc::ServerBuilder builder;
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  LoopbackServer started = ListenOnLoopback(builder);
  server_ = std::move(started.server);
  address_ = std::move(started.address);
  new Rpc(*this);
  thread_ = std::thread([this] { Serve(); });
}

GenericServer::~GenericServer() {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  server_->Wait();
  {
    internal::MutexLock lock(mutex_);
    while (live_ != 0) none_live_.Wait(mutex_);
  }
  queue_->Shutdown();
  thread_.join();
}

void GenericServer::CountLive(int change) {
  internal::MutexLock lock(mutex_);
  live_ += change;
  if (live_ == 0) none_live_.NotifyAll();
}

void GenericServer::Serve() {
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) (*static_cast<Tag*>(tag))(ok);
}

GenericClient::GenericClient(const std::string& address, ClientOptions options,
                             bool interceptors)
    : channel_(interceptors
                   ? CreateChannel(address, grpc::InsecureChannelCredentials(),
                                   {}, OwnConnection())
                   : grpc::CreateCustomChannel(
                         address, grpc::InsecureChannelCredentials(),
                         OwnConnection())),
      stub_(channel_),
      shared_(std::move(options), channel_, address) {}

GenericClient::~GenericClient() = default;

GenericClient::Result GenericClient::Call(const Context& ctx,
                                          CallSettings settings) {
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag;
    bool ok = false;
    if (!queue.Next(&tag, &ok)) std::abort();
    return ok;
  };
  Result result;
  {
    grpc::ClientContext rpc;
    if (settings.timeout != absl::InfiniteDuration()) {
      rpc.set_deadline(absl::ToChronoTime(absl::Now() + settings.timeout));
    }
    OutgoingCall call(ctx, rpc, settings.method, shared_,
                      std::move(settings.metadata), settings.options);
    auto stream = stub_.PrepareCall(&rpc, settings.method, &queue);
    if (settings.tells_start) call.OnStarted();
    stream->StartCall(nullptr);
    wait();
    const grpc::Slice empty;
    stream->WriteLast(grpc::ByteBuffer(&empty, 1), grpc::WriteOptions(),
                      nullptr);
    wait();
    if (settings.during) settings.during(call);
    grpc::ByteBuffer reply;
    stream->Read(&reply, nullptr);
    wait();
    stream->Finish(&result.received, nullptr);
    wait();
    result.status = call.OnStatus(result.received);
    result.reason = call.reason();
    result.report = call.report();
    for (const auto& [key, value] : rpc.GetServerTrailingMetadata()) {
      result.trailing.emplace(Text(key), Text(value));
    }
  }
  queue.Shutdown();
  void* tag;
  bool ok;
  while (queue.Next(&tag, &ok)) {
  }
  return result;
}

}  // namespace tether::testing
