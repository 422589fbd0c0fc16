// SPDX-License-Identifier: Apache-2.0
//
// A proxy without interceptors: a generic service on a completion queue takes
// each call, and a generic stub passes it on. The deadline, the cancellation,
// the values and the report cross it.
//
// It passes calls with one message each way. One thread serves both sides.

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/budget/report.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/incoming_call.h"
#include "tether/grpc/outgoing_call.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/propagation/request_id.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;
using Metadata = std::multimap<std::string, std::string>;
using ReceivedMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// What a tag of the queue points to.
using Tag = std::function<void(bool ok)>;

struct Proxy {
  explicit Proxy(std::shared_ptr<grpc::Channel> channel)
      : client(tether::ClientOptions(), channel, "inventory"), stub(channel) {}

  const tether::CallServer server;  // shared by all requests
  const tether::CallClient client;  // shared by all calls on the channel
  grpc::GenericStub stub;
  grpc::AsyncGenericService service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  int calls = 0;  // used by the queue's thread only
};

// The headers that belong to the connection, or to tether on another hop.
bool IsOfThisHop(const std::string& key) {
  return key == "user-agent" || key.rfind("grpc-", 0) == 0 ||
         key == tether::kReportHeader;
}

Metadata PassOn(const ReceivedMetadata& received) {
  Metadata passed;
  for (const auto& [key, value] : received) {
    std::string name(key.data(), key.size());
    if (IsOfThisHop(name)) continue;
    passed.emplace(std::move(name), std::string(value.data(), value.size()));
  }
  return passed;
}

// One call. Deletes itself when it has been answered and gRPC has told that it
// is over.
class ProxiedCall {
 public:
  explicit ProxiedCall(Proxy& proxy) : proxy_(proxy) {
    ++proxy_.calls;
    // Needed: nothing else tells that the caller has left.
    server_context_.AsyncNotifyWhenDone(&over_);
    proxy_.service.RequestCall(&server_context_, &stream_, proxy_.queue.get(),
                               proxy_.queue.get(), &arrived_);
  }
  ~ProxiedCall() { --proxy_.calls; }

 private:
  void OnArrived(bool ok) {
    if (!ok) return delete this;  // the server shuts down
    new ProxiedCall(proxy_);      // for the next request
    incoming_.emplace(proxy_.server, server_context_, server_context_.method());
    stream_.Read(&message_, &read_);
  }

  void OnRead(bool ok) {
    if (!ok) {  // the caller has left, or has sent no message
      return Answer(grpc::Status(grpc::StatusCode::CANCELLED, "no message"),
                    {});
    }
    // Sets the deadline of rpc_, and adds all headers to it.
    outgoing_.emplace(incoming_->context(), rpc_, server_context_.method(),
                      proxy_.client, PassOn(server_context_.client_metadata()));
    call_ = proxy_.stub.PrepareUnaryCall(&rpc_, server_context_.method(),
                                         message_, proxy_.queue.get());
    outgoing_->OnStarted();
    call_->StartCall();
    call_->Finish(&reply_, &status_, &received_);
  }

  void OnReceived() {
    Answer(outgoing_->OnStatus(status_),
           PassOn(rpc_.GetServerTrailingMetadata()));
  }

  void Answer(const grpc::Status& status, Metadata trailing) {
    const grpc::Status sent =
        incoming_->Answer(status, /*after_messages=*/status.ok(), trailing);
    for (const auto& [key, value] : trailing) {
      server_context_.AddTrailingMetadata(key, value);
    }
    if (sent.ok()) {
      stream_.WriteAndFinish(reply_, grpc::WriteOptions(), sent, &answered_);
    } else {
      stream_.Finish(sent, &answered_);
    }
  }

  // Ends the context, and so the call that is made for it.
  void OnOver() {
    incoming_->OnCallEnded();
    DeleteIfLast();
  }

  void DeleteIfLast() {
    if (++last_tags_ == 2) delete this;
  }

  Proxy& proxy_;
  int last_tags_ = 0;
  Tag arrived_ = [this](bool ok) { OnArrived(ok); };
  Tag read_ = [this](bool ok) { OnRead(ok); };
  Tag received_ = [this](bool) { OnReceived(); };
  Tag answered_ = [this](bool) { DeleteIfLast(); };
  Tag over_ = [this](bool) { OnOver(); };

  // incoming_ and outgoing_ are destroyed before gRPC's contexts.
  grpc::GenericServerContext server_context_;
  grpc::GenericServerAsyncReaderWriter stream_{&server_context_};
  std::optional<tether::IncomingCall> incoming_;
  grpc::ByteBuffer message_, reply_;
  grpc::Status status_;
  grpc::ClientContext rpc_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> call_;
  std::optional<tether::OutgoingCall> outgoing_;
};

// Returns when the server has been shut down and no call is left that could use
// the queue.
void Serve(Proxy& proxy) {
  new ProxiedCall(proxy);
  void* tag = nullptr;
  bool ok = false;
  while (proxy.queue->Next(&tag, &ok)) {
    (*static_cast<Tag*>(tag))(ok);
    if (proxy.calls == 0) proxy.queue->Shutdown();
  }
}

// Has tea. For everything else, it waits until nobody wants it.
class InventoryService final : public Inventory::Service {
 public:
  absl::Notification asked_for_milk;

 private:
  grpc::Status GetStock(grpc::ServerContext* sc, const GetStockRequest* request,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*sc);
    if (request->product_id() == "tea") {
      const std::string* id = tether::RequestIdOf(ctx);
      std::printf("inventory: request %s\n", id != nullptr ? id->c_str() : "?");
      response->set_stock(42);
      return grpc::Status::OK;
    }
    if (request->product_id() == "milk") asked_for_milk.Notify();
    ctx.Wait();
    if (tether::EndReasonOf(ctx) == tether::EndReason::kCallerLeft) {
      std::printf("inventory: the caller has left\n");
    }
    return tether::StatusOf(ctx);
  }
};

grpc::Status Ask(Inventory::Stub& stub, const tether::Context& ctx,
                 const std::string& product) {
  GetStockRequest request;
  request.set_product_id(product);
  GetStockResponse response;
  tether::ClientCall call(ctx);
  const grpc::Status status = stub.GetStock(&call, request, &response);
  if (status.ok()) {
    std::printf("client: %d of %s\n", response.stock(), product.c_str());
  }
  return status;
}

void AskForAll(Inventory::Stub& stub, InventoryService& inventory) {
  Ask(stub, tether::WithRequestId(tether::Background(), "r-1"), "tea");

  auto [late, cancel_late] =
      tether::WithTimeout(tether::Background(), absl::Milliseconds(200));
  const grpc::Status status = Ask(stub, late, "coffee");
  std::printf(
      "client: %.25s, and the message %s inventory\n",
      status.error_message().c_str(),
      status.error_message().find("inventory.GetStock") == std::string::npos
          ? "doesn't name"
          : "names");

  auto [left, leave] = tether::WithCancel(tether::Background());
  std::thread leaver([&inventory, &leave = leave] {
    inventory.asked_for_milk.WaitForNotification();
    leave();
  });
  Ask(stub, left, "milk");
  leaver.join();
}

}  // namespace

int main() {
  InventoryService inventory;
  int inventory_port = 0;
  grpc::ServerBuilder inventory_builder;
  inventory_builder.AddListeningPort(
      "127.0.0.1:0", grpc::InsecureServerCredentials(), &inventory_port);
  inventory_builder.RegisterService(&inventory);
  tether::InstallServer(inventory_builder);
  const auto inventory_server = inventory_builder.BuildAndStart();

  Proxy proxy(grpc::CreateChannel("127.0.0.1:" + std::to_string(inventory_port),
                                  grpc::InsecureChannelCredentials()));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterAsyncGenericService(&proxy.service);
  proxy.queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  std::thread queue_thread([&proxy] { Serve(proxy); });

  AskForAll(*Inventory::NewStub(
                tether::CreateChannel("127.0.0.1:" + std::to_string(port),
                                      grpc::InsecureChannelCredentials())),
            inventory);
  server->Shutdown();
  queue_thread.join();
  inventory_server->Shutdown();
}
