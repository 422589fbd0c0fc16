// SPDX-License-Identifier: Apache-2.0
//
// Interceptors of your own beside tether's: an access log on a server, and a
// count of failed calls on a client. Both lists have tether last. (For a log
// alone, ServerOptions::on_finish needs no interceptor.)
//
//   list           a server's own interceptor sees
//   own, tether    the request's context, until the status has been sent
//   tether, own    no context on arrival; an ended one with the status
//
//   list           a client's own interceptor sees
//   own, tether    not tether's headers; the status that the caller gets
//   tether, own    tether's headers; the status as gRPC has received it

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "tether/context.h"
#include "tether/end_reason.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/status.h"
#include "tether/propagation/request_id.h"

namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using shop::v1::GetStockRequest;
using shop::v1::GetStockResponse;
using shop::v1::Inventory;

// Prints a line for each request.
class AccessLog final : public Interceptor {
 public:
  explicit AccessLog(grpc::experimental::ServerRpcInfo* info)
      : method_(info->method()), server_context_(info->server_context()) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      const tether::Context ctx = tether::ContextOf(*server_context_);
      const std::string* id = tether::RequestIdOf(ctx);
      const std::string_view end =
          ctx.Done() ? EndReasonName(EndReasonOf(ctx)) : "in time";
      std::printf("%s, request %s, status %d, %s\n", method_.c_str(),
                  id == nullptr ? "?" : id->c_str(),
                  methods->GetSendStatus().error_code(),
                  std::string(end).c_str());
    }
    methods->Proceed();
  }

 private:
  const std::string method_;
  grpc::ServerContextBase* const server_context_;
};

class AccessLogFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
  Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new AccessLog(info);
  }
};

// Counts the calls that ran out of time.
class Timeouts final : public Interceptor {
 public:
  explicit Timeouts(std::atomic<int>& count) : count_(count) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_STATUS) &&
        methods->GetRecvStatus()->error_code() ==
            grpc::StatusCode::DEADLINE_EXCEEDED) {
      ++count_;
    }
    methods->Proceed();
  }

 private:
  std::atomic<int>& count_;
};

class TimeoutsFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TimeoutsFactory(std::atomic<int>& count) : count_(count) {}
  Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new Timeouts(count_);
  }

 private:
  std::atomic<int>& count_;
};

void InstallInterceptors(grpc::ServerBuilder& builder) {
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      list;
  list.push_back(std::make_unique<AccessLogFactory>());
  list.push_back(std::make_unique<tether::ServerInterceptorFactory>());
  builder.experimental().SetInterceptorCreators(std::move(list));
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address,
                                       std::atomic<int>& timeouts) {
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      list;
  list.push_back(std::make_unique<TimeoutsFactory>(timeouts));
  list.push_back(std::make_unique<tether::ClientInterceptorFactory>());
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      address, grpc::InsecureChannelCredentials(), {}, std::move(list));
}

// Answers at once for tea. Everything else takes a minute.
class InventoryService final : public Inventory::Service {
  grpc::Status GetStock(grpc::ServerContext* server_context,
                        const GetStockRequest* request,
                        GetStockResponse* response) override {
    const tether::Context ctx = tether::ContextOf(*server_context);
    if (request->product_id() != "tea" && ctx.WaitFor(absl::Minutes(1))) {
      return tether::StatusOf(ctx);
    }
    response->set_stock(42);
    return grpc::Status::OK;
  }
};

void Ask(Inventory::Stub& stub, const std::string& product,
         const std::string& id, absl::Duration timeout) {
  auto [ctx, cancel] = tether::WithTimeout(
      tether::WithRequestId(tether::Background(), id), timeout);
  GetStockRequest request;
  request.set_product_id(product);
  GetStockResponse response;
  tether::ClientCall call(ctx);
  stub.GetStock(&call, request, &response);
}

}  // namespace

int main() {
  InventoryService inventory;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&inventory);
  InstallInterceptors(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  std::atomic<int> timeouts{0};
  const auto stub = Inventory::NewStub(
      Connect("127.0.0.1:" + std::to_string(port), timeouts));
  Ask(*stub, "tea", "r-1", absl::Seconds(30));
  Ask(*stub, "coffee", "r-2", absl::Milliseconds(500));
  server->Shutdown();  // the log is complete
  std::printf("timeouts: %d\n", timeouts.load());
}
