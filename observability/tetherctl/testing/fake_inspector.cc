// SPDX-License-Identifier: Apache-2.0
//
// A server with a tether.v1.Inspector whose answers are in a file, as a
// ProcessSnapshot or ProcessDiagnosis in protobuf's text format.
//
//   fake_inspector SNAPSHOT [DIAGNOSIS]
//
// Prints "listening on port N", and serves until its standard input ends. Lists
// are filtered as a real process does it. An `error` in a file is the message
// of an INTERNAL error. The files are read again for each answer, so that a
// test can change them.

#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tether/grpc/testing/loopback.h"
#include "tether/observability/internal/inspector.h"
#include "tether/v1/inspector.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

template <typename Message>
Message Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  Message message;
  if (!google::protobuf::TextFormat::ParseFromString(text.str(), &message)) {
    throw std::runtime_error("bad file: " + path);
  }
  return message;
}

template <typename Entries>
void Filter(const v1::ListRequest& list, Entries& entries) {
  for (int i = entries.size() - 1; i >= 0; --i) {
    const bool has_method =
        entries[i].method().find(list.method_contains()) != std::string::npos;
    const bool has_trace =
        list.trace_id().empty() || entries[i].trace_id() == list.trace_id();
    if (!has_method || !has_trace) entries.DeleteSubrange(i, 1);
  }
}

int Main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::string snapshot_path = argv[1];
  const std::string health_path = argc > 2 ? argv[2] : "";
  internal::InspectorSources sources;
  sources.snapshot = [=](const v1::ListRequest& list) {
    auto process = Read<ProcessSnapshot>(snapshot_path);
    if (process.has_error()) throw std::runtime_error(process.error());
    Filter(list, *process.mutable_snapshot()->mutable_requests());
    Filter(list, *process.mutable_snapshot()->mutable_other_calls());
    return process.snapshot();
  };
  sources.health = [=]() -> std::optional<v1::PropagationHealth> {
    if (health_path.empty()) return std::nullopt;
    return Read<ProcessDiagnosis>(health_path).health();
  };
  const auto service = internal::MakeInspectorService({}, std::move(sources));
  grpc::ServerBuilder builder;
  builder.RegisterService(service.get());
  const testing::LoopbackServer server = testing::ListenOnLoopback(builder);
  std::cout << "listening on port " << server.port << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  server.server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace
}  // namespace tether::ctl

int main(int argc, char** argv) { return tether::ctl::Main(argc, argv); }
