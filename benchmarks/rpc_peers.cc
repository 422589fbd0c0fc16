// SPDX-License-Identifier: Apache-2.0

#include "rpc_peers.h"

#include <cstddef>
#include <iterator>
#include <utility>

#include "tether/propagation/trace_context.h"
#include "worker.h"

namespace tether::benchmarks {
namespace {

using ::grpc::experimental::ClientInterceptorFactoryInterface;
using ::grpc::experimental::ClientRpcInfo;
using ::grpc::experimental::InterceptionHookPoints;
using ::grpc::experimental::Interceptor;
using ::grpc::experimental::InterceptorBatchMethods;
using ::grpc::experimental::ServerInterceptorFactoryInterface;
using ::grpc::experimental::ServerRpcInfo;

class Empty final : public Interceptor {
  void Intercept(InterceptorBatchMethods* methods) override {
    methods->Proceed();
  }
};

class WriteHeaders final : public Interceptor {
 public:
  explicit WriteHeaders(const HeaderValues* values) : values_(values) {}

 private:
  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      auto& metadata = *methods->GetSendInitialMetadata();
      for (size_t i = 0; i < std::size(kHeaders); ++i) {
        metadata.emplace(kHeaders[i], (*values_)[i]);
      }
    }
    methods->Proceed();
  }

  const HeaderValues* const values_;
};

class ReadHeaders final : public Interceptor {
  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      RequireHeaders(*methods->GetRecvInitialMetadata());
    }
    methods->Proceed();
  }
};

template <typename T>
class ServerFactory final : public ServerInterceptorFactoryInterface {
  Interceptor* CreateServerInterceptor(ServerRpcInfo*) override {
    return new T;
  }
};

class EmptyFactory final : public ClientInterceptorFactoryInterface {
  Interceptor* CreateClientInterceptor(ClientRpcInfo*) override {
    return new Empty;
  }
};

class HeadersFactory final : public ClientInterceptorFactoryInterface {
 public:
  explicit HeadersFactory(HeaderValues values) : values_(std::move(values)) {}

 private:
  Interceptor* CreateClientInterceptor(ClientRpcInfo*) override {
    return new WriteHeaders(&values_);
  }

  const HeaderValues values_;
};

template <typename T>
void Install(grpc::ServerBuilder& builder) {
  std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> creators;
  creators.push_back(std::make_unique<ServerFactory<T>>());
  builder.experimental().SetInterceptorCreators(std::move(creators));
}

std::shared_ptr<grpc::Channel> ChannelWith(
    const std::string& address, const grpc::ChannelArguments& arguments,
    std::unique_ptr<ClientInterceptorFactoryInterface> factory) {
  std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> creators;
  creators.push_back(std::move(factory));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      address, grpc::InsecureChannelCredentials(), arguments,
      std::move(creators));
}

}  // namespace

HeaderValues ValuesOfHeaders() {
  return {FormatTraceParent(NewTrace(/*sampled=*/true)),
          "7f1c2a9e-58f4-4a64-9f0e-6d2f0c1b3a55", "59949000"};
}

void RequireHeaders(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  for (const char* header : kHeaders) {
    if (metadata.find(header) == metadata.end()) {
      Die("the values have not arrived");
    }
  }
}

void InstallEmpty(grpc::ServerBuilder& builder) { Install<Empty>(builder); }
void InstallHeaders(grpc::ServerBuilder& builder) {
  Install<ReadHeaders>(builder);
}

std::shared_ptr<grpc::Channel> EmptyChannel(
    const std::string& address, const grpc::ChannelArguments& arguments) {
  return ChannelWith(address, arguments, std::make_unique<EmptyFactory>());
}

std::shared_ptr<grpc::Channel> HeadersChannel(
    const std::string& address, HeaderValues values,
    const grpc::ChannelArguments& arguments) {
  return ChannelWith(address, arguments,
                     std::make_unique<HeadersFactory>(std::move(values)));
}

}  // namespace tether::benchmarks
