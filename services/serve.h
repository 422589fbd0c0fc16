// SPDX-License-Identifier: Apache-2.0
//
// Starts and stops a service's process: flags, listening, health, reflection,
// and a graceful shutdown.
//
// Example:
//
//   int main(int argc, char** argv) {
//     shop::StartProcess(argc, argv, "Returns the stock.");
//     shop::InventoryService service({}, shop::HopsToStdout());
//     return shop::Serve(service);
//   }
//
// Flags: --port (0, the default, picks a free port), --shutdown_grace, and
// --live: the process counts, and shows what is in flight (tether.v1.Inspector
// on its port; a status page, if the program is linked with live_page).

#ifndef SHOP_SERVICES_SERVE_H_
#define SHOP_SERVICES_SERVE_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace shop {

// Parses the flags (a bad flag ends the process, see flag_types.h), and
// reserves SIGTERM and SIGINT for Serve(). Call it first: threads that already
// exist would still receive these signals.
void StartProcess(int argc, char** argv, absl::string_view usage);

// Returns a channel with tether to the service at `address`, which is the value
// of the flag `flag`. An empty address ends the process. The channel connects
// before the first call.
std::shared_ptr<grpc::Channel> ConnectTo(const std::string& flag,
                                         const std::string& address);

// True if the flag --live is set.
bool IsLive();

// Makes --live also start a status page. `start` returns its address, or "" if
// it can't be started, and is called once. Call it before main(): see
// live_page.cc.
void SetLivePage(std::string (*start)());

// Serves `service`, with tether installed, on the loopback interface until
// SIGTERM or SIGINT. It then accepts no new requests, lets running requests
// finish, and cancels the rest after --shutdown_grace.
//
// It prints "listening on port N" to standard output when it accepts requests,
// and before that "status page at URL" if it has one.
// Returns the process's exit code.
int Serve(grpc::Service& service);

}  // namespace shop

#endif  // SHOP_SERVICES_SERVE_H_
