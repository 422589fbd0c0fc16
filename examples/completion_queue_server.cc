// SPDX-License-Identifier: Apache-2.0
//
// A server with gRPC's completion queues. A call waits for an asynchronous
// query. It is finished by the answer, or when the request's context ends.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"

namespace {

using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Answers at once for tea. Everything else takes a long time.
class Warehouse {
 public:
  void Ask(const std::string& product, std::function<void(int)> answer) {
    if (product == "tea") return answer(42);
    std::lock_guard<std::mutex> lock(mutex_);
    to_answer_.push_back(std::move(answer));
  }

  void AnswerTheRest() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& answer : to_answer_) answer(0);
    to_answer_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void(int)>> to_answer_;
};

struct Service {
  Warehouse warehouse;
  Inventory::AsyncService grpc;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  int calls = 0;  // used by the queue's thread only
};

// One call of GetStock. gRPC returns its address from the queue: first when a
// request has arrived, then when the reply has been sent.
class GetStockCall : public std::enable_shared_from_this<GetStockCall> {
 public:
  // Asks gRPC for one request.
  static void Await(Service& service) {
    auto call = std::make_shared<GetStockCall>(service);
    call->owner_ = call;
    service.grpc.RequestGetStock(&call->server_context_, &call->request_,
                                 &call->writer_, service.queue.get(),
                                 service.queue.get(), call.get());
  }

  explicit GetStockCall(Service& service) : service_(service) {
    ++service_.calls;
  }

  void Proceed(bool ok) {
    const std::shared_ptr<GetStockCall> self = shared_from_this();
    if (ok && !arrived_) {
      arrived_ = true;
      Await(service_);  // the next request
      Handle();
    } else {  // the reply has been sent, or the server shuts down
      --service_.calls;
      owner_.reset();
    }
  }

 private:
  void Handle() {
    const tether::Context ctx = tether::ContextOf(server_context_);
    at_end_.emplace(ctx, [this, ctx] {
      if (!finished_.exchange(true)) {
        writer_.FinishWithError(tether::StatusOf(ctx), this);
      }
    });
    service_.warehouse.Ask(
        request_.product_id(), [call = shared_from_this()](int stock) {
          if (call->finished_.exchange(true)) {
            std::printf("inventory: nobody waits for it any more\n");
            return;
          }
          GetStockResponse response;
          response.set_stock(stock);
          call->writer_.Finish(response, grpc::Status::OK, call.get());
        });
  }

  Service& service_;
  grpc::ServerContext server_context_;
  GetStockRequest request_;
  grpc::ServerAsyncResponseWriter<GetStockResponse> writer_{&server_context_};
  bool arrived_ = false;
  std::atomic<bool> finished_{false};  // the answer and the end both try
  std::shared_ptr<GetStockCall> owner_;
  // The last member, so that it is destroyed first: its destructor waits for
  // the callback, which uses the others.
  std::optional<tether::Registration> at_end_;
};

// Serves the queue. Returns when the server has been shut down and no call is
// left that could use the queue.
void Serve(Service& service) {
  GetStockCall::Await(service);
  void* tag = nullptr;
  bool ok = false;
  while (service.queue->Next(&tag, &ok)) {
    static_cast<GetStockCall*>(tag)->Proceed(ok);
    if (service.calls == 0) service.queue->Shutdown();
  }
}

void Ask(Inventory::Stub& stub, const std::string& product,
         absl::Duration timeout) {
  auto [ctx, cancel] = tether::WithTimeout(tether::Background(), timeout);
  GetStockRequest request;
  request.set_product_id(product);
  GetStockResponse response;
  tether::ClientCall call(ctx);
  const grpc::Status status = stub.GetStock(&call, request, &response);
  if (status.ok()) {
    std::printf("client: %d of %s\n", response.stock(), product.c_str());
  } else {
    std::printf("client: %s, status %d\n", product.c_str(),
                status.error_code());
  }
}

}  // namespace

int main() {
  Service service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service.grpc);
  service.queue = builder.AddCompletionQueue();
  tether::InstallServer(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::thread queue_thread([&service] { Serve(service); });

  const auto stub = Inventory::NewStub(tether::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  Ask(*stub, "tea", absl::Seconds(30));
  Ask(*stub, "coffee", absl::Milliseconds(500));
  server->Shutdown();
  queue_thread.join();
  service.warehouse.AnswerTheRest();
}
