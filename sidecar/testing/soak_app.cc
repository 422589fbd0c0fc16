// SPDX-License-Identifier: Apache-2.0
//
// An application of plain gRPC for the soak test, as a process. It ends on
// SIGTERM.
//
//   soak_app --listen=unix:/run/leaf
//   soak_app --listen=unix:/run/front --leaf=unix:/run/egress
//
// The message of a request is the time in milliseconds after which the leaf
// answers. The front calls the leaf with the same message.

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "sidecar/testing/plain_client.h"
#include "sidecar/testing/unary_app.h"

ABSL_FLAG(std::string, listen, "", "The address to listen on.");
ABSL_FLAG(std::string, leaf, "", "Where to call the leaf. Unset: is the leaf.");

namespace tether::sidecar::testing {
namespace {

void AnswerLater(const UnaryApp::Held& request) {
  int millis = 0;
  if (!absl::SimpleAtoi(request->message(), &millis)) millis = 0;
  auto alarm = std::make_shared<grpc::Alarm>();
  alarm->Set(
      std::chrono::system_clock::now() + std::chrono::milliseconds(millis),
      [request, alarm](bool) {
        request->Answer(grpc::Status::OK, request->message());
      });
}

void Forward(PlainClient& to_leaf, const UnaryApp::Held& request) {
  PlainClient::Request call{"/soak.Leaf/Get", {}, request->message()};
  for (const std::string name : {"baggage", "traceparent", "tracestate"}) {
    const std::string value = request->header(name);
    if (!value.empty()) call.headers.emplace_back(name, value);
  }
  to_leaf.Call(call, [request](PlainCall& ended) {
    request->Answer(ended.status(), ended.reply());
  });
}

int Run() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  std::unique_ptr<PlainClient> to_leaf;
  const std::string leaf = absl::GetFlag(FLAGS_leaf);
  if (!leaf.empty()) to_leaf = std::make_unique<PlainClient>(leaf);
  const UnaryApp app(
      [&](const UnaryApp::Held& request) {
        to_leaf == nullptr ? AnswerLater(request) : Forward(*to_leaf, request);
      },
      absl::GetFlag(FLAGS_listen));
  std::cout << "listening" << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}

}  // namespace
}  // namespace tether::sidecar::testing

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return tether::sidecar::testing::Run();
}
