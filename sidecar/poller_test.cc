// SPDX-License-Identifier: Apache-2.0

#include "sidecar/poller.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "sidecar/testing/plain_client.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using tether::testing::kGiveUp;

// A server whose calls wait at each poller. It cancels the first that comes.
class Port {
 public:
  explicit Port(const Pollers& pollers) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterAsyncGenericService(&service_);
    server_ = BuildWith(builder, pollers, own_);
    address_ = "127.0.0.1:" + std::to_string(port);
    for (size_t i = 0; i < pollers.size(); ++i) {
      waiting_.push_back(std::make_unique<Waiting>(*this, i));
      Waiting& waiting = *waiting_.back();
      service_.RequestCall(&waiting.context, &waiting.stream, pollers[i]->get(),
                           pollers[i]->get(), &waiting);
    }
  }
  ~Port() {
    server_->Shutdown(std::chrono::system_clock::now());
    for (const auto& waiting : waiting_) {
      EXPECT_TRUE(waiting->ended.WaitForNotificationWithTimeout(kGiveUp));
    }
    own_->Shutdown();
    void* tag;
    bool ok;
    while (own_->Next(&tag, &ok)) {
    }
  }

  // The number of the poller at which a call on a new connection arrives.
  size_t PollerOfACall() {
    testing::PlainClient client(address_);
    client.Call({"/a.B/C"})->Wait();
    EXPECT_TRUE(arrived_.WaitForNotificationWithTimeout(kGiveUp));
    return poller_;
  }

 private:
  struct Waiting final : Poller::Event {
    Waiting(Port& in, size_t poller)
        : port(in), number(poller), stream(&context) {}
    void Run(bool ok) override {
      if (ok) {
        context.TryCancel();
        port.poller_ = number;
        port.arrived_.Notify();
      }
      ended.Notify();
    }
    Port& port;
    const size_t number;
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream;
    absl::Notification ended;
  };

  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> own_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::vector<std::unique_ptr<Waiting>> waiting_;
  size_t poller_ = 0;
  absl::Notification arrived_;
};

class PollerTest : public tether::testing::GrpcLeakCheckedTest {};

TEST_F(PollerTest, PortsWithASingleConnectionUseDifferentThreads) {
  Pollers pollers;
  for (int i = 0; i < 4; ++i) pollers.push_back(std::make_unique<Poller>());
  std::set<size_t> used;
  {
    std::vector<std::unique_ptr<Port>> ports;
    for (int i = 0; i < 4; ++i) {
      ports.push_back(std::make_unique<Port>(pollers));
      used.insert(ports.back()->PollerOfACall());
    }
  }
  EXPECT_EQ(used.size(), 4u);
}

}  // namespace
}  // namespace tether::sidecar
