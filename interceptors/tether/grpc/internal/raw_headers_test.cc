// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/internal/raw_headers.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/grpc/client.h"
#include "tether/grpc/internal/grpc_version.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/request_id.h"

namespace tether::internal {
namespace {

using grpc::experimental::ServerInterceptorFactoryInterface;
using testing::Ping;
using testing::Pong;
using testing::ProbeServer;

class RawHeadersTest : public testing::GrpcLeakCheckedTest {
 protected:
  static void CallWithId(ProbeServer& server, const std::string& id) {
    ClientCall call(WithRequestId(Background(), id));
    Pong pong;
    const grpc::Status status = server.Stub()->Unary(&call, Ping(), &pong);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
};

TEST_F(RawHeadersTest, NoMultimapIsMadeUntilTheHandlerLooks) {
  ProbeServer server({});
  server.unary = [](grpc::ServerContext& sc, const Ping&, Pong*) {
    const grpc_metadata_array* raw = RawHeadersOf(sc);
    if (TETHER_GRPC_HAS_KNOWN_METADATA_MAP) {
      EXPECT_NE(raw, nullptr);
      if (raw != nullptr) {
        EXPECT_EQ(ReceivedMetadata(*raw).Get("x-request-id", 0), "one");
        EXPECT_EQ(raw->count, sc.client_metadata().size());
      }
    }
    EXPECT_EQ(sc.client_metadata().count("x-request-id"), 1u);
    EXPECT_EQ(RawHeadersOf(sc), nullptr);  // somebody may have edited the map
    return grpc::Status::OK;
  };
  CallWithId(server, "one");
}

// Gives each request another id.
class Editor final : public grpc::experimental::Interceptor {
 public:
  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                POST_RECV_INITIAL_METADATA)) {
      auto& headers = *methods->GetRecvInitialMetadata();
      headers.erase("x-request-id");
      headers.emplace("x-request-id", "two");
    }
    methods->Proceed();
  }
};
class EditorFactory final : public ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new Editor;
  }
};

TEST_F(RawHeadersTest, AnInterceptorThatIsAskedFirstMayEditTheHeaders) {
  for (const bool edits : {true, false}) {
    ProbeServer::Options options;
    options.install = [edits](grpc::ServerBuilder& builder) {
      std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> list;
      list.push_back(std::make_unique<ServerInterceptorFactory>());
      // The last one is asked first.
      if (edits) list.push_back(std::make_unique<EditorFactory>());
      builder.experimental().SetInterceptorCreators(std::move(list));
    };
    ProbeServer server(std::move(options));
    server.unary = [edits](grpc::ServerContext& sc, const Ping&, Pong*) {
      const std::string* id = RequestIdOf(ContextOf(sc));
      EXPECT_NE(id, nullptr);
      if (id != nullptr) {
        EXPECT_EQ(*id, edits ? "two" : "one");
      }
      return grpc::Status::OK;
    };
    CallWithId(server, "one");
  }
}

}  // namespace
}  // namespace tether::internal
