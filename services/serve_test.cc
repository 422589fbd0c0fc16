// SPDX-License-Identifier: Apache-2.0
//
// Runs inventory as a process, and operates it like an administrator.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "shop/v1/inventory.grpc.pb.h"
#include "testing/child_process.h"
#include "tether/context.h"

namespace shop {
namespace {

using testing::HasSubstr;

class ServeTest : public testing::Test {
 protected:
  // Starts inventory and connects to it.
  void Start(std::vector<std::string> flags = {}) {
    ASSERT_TRUE(
        process_.Start("services/inventory/inventory", std::move(flags)).ok());
    const std::optional<std::string> line = ReadLine();
    ASSERT_TRUE(line.has_value());
    absl::string_view port = *line;
    ASSERT_TRUE(absl::ConsumePrefix(&port, "listening on port ")) << *line;
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::Inventory::NewStub(channel_);
  }

  std::optional<std::string> ReadLine() {
    auto [ctx, cancel] =
        tether::WithTimeout(tether::Background(), absl::Seconds(20));
    return process_.ReadLine(ctx);
  }

  grpc::Status GetStock() {
    grpc::ClientContext call;
    v1::GetStockRequest request;
    request.set_product_id("tea-5");
    v1::GetStockResponse response;
    return stub_->GetStock(&call, request, &response);
  }

  // Sends a message of these bytes to `method`, and returns the bytes of the
  // first reply. There is no generated code of these services to use instead.
  std::string CallRaw(const std::string& method, const std::string& message) {
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(
        channel_);
    grpc::CompletionQueue queue;
    grpc::ClientContext call;
    call.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
    const auto stream = stub.PrepareCall(&call, method, &queue);
    const auto wait = [&queue] {
      void* tag;
      bool ok = false;
      queue.Next(&tag, &ok);
    };
    stream->StartCall(nullptr);
    wait();
    const grpc::Slice slice(message);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    wait();
    grpc::ByteBuffer reply;
    stream->Read(&reply, nullptr);
    wait();
    call.TryCancel();
    grpc::Status status;
    stream->Finish(&status, nullptr);
    wait();
    grpc::Slice whole;
    if (!reply.Valid() || !reply.DumpToSingleSlice(&whole).ok()) return "";
    return std::string(reinterpret_cast<const char*>(whole.begin()),
                       whole.size());
  }

  tether::testing::ChildProcess process_{"inventory"};
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inventory::Stub> stub_;
};

TEST_F(ServeTest, IsHealthy) {
  Start();
  // HealthCheckResponse{status: SERVING}
  EXPECT_EQ(CallRaw("/grpc.health.v1.Health/Check", ""), "\x08\x01");
}

TEST_F(ServeTest, TellsItsServices) {
  Start();
  // ServerReflectionRequest{list_services: "*"}
  const std::string reply =
      CallRaw("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
              std::string("\x3a\x01*"));
  EXPECT_THAT(reply, HasSubstr("shop.v1.Inventory"));
  EXPECT_THAT(reply, HasSubstr("grpc.health.v1.Health"));
}

TEST_F(ServeTest, StopsWhenAsked) {
  Start();
  EXPECT_TRUE(GetStock().ok());
  EXPECT_TRUE(process_.Stop().ok());
  EXPECT_EQ(GetStock().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServeTest, LetsARunningRequestFinish) {
  Start({"--inventory_delay=500ms"});
  grpc::Status status(grpc::StatusCode::UNKNOWN, "");
  std::thread request([&] { status = GetStock(); });
  absl::SleepFor(absl::Milliseconds(200));  // it is under way
  process_.AskToStop();
  const std::optional<std::string> event = ReadLine();
  request.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  ASSERT_TRUE(event.has_value());
  EXPECT_THAT(*event, HasSubstr("\"outcome\":\"ok\""));
  EXPECT_TRUE(process_.Stop().ok());
}

TEST_F(ServeTest, CancelsWhatOutlastsTheGrace) {
  Start({"--inventory_delay=1h", "--shutdown_grace=100ms"});
  grpc::Status status;
  std::thread request([&] { status = GetStock(); });
  absl::SleepFor(absl::Milliseconds(200));  // it is under way
  process_.AskToStop();
  const std::optional<std::string> event = ReadLine();
  request.join();
  EXPECT_FALSE(status.ok());
  ASSERT_TRUE(event.has_value());
  EXPECT_THAT(*event, HasSubstr("\"outcome\":\"cancelled\""));
  EXPECT_TRUE(process_.Stop().ok());
}

TEST_F(ServeTest, ABadPortIsAnError) {
  ASSERT_TRUE(
      process_.Start("services/inventory/inventory", {"--port=70000"}).ok());
  EXPECT_FALSE(ReadLine().has_value());
  EXPECT_FALSE(process_.Stop().ok());
}

}  // namespace
}  // namespace shop
