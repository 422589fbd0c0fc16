// The start and the end of a service's process: flags, listening, health,
// reflection, and a graceful shutdown.
//
// Example:
//
//   int main(int argc, char** argv) {
//     shop::StartProcess(argc, argv, "Tells the stock.");
//     shop::InventoryService service({}, shop::HopsToStdout());
//     return shop::Serve(service);
//   }
//
// Flags: --port (0, the default, takes a free one) and --shutdown_grace.

#ifndef SHOP_SERVICES_SERVE_H_
#define SHOP_SERVICES_SERVE_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace shop {

// Reads the flags (a bad one ends the process, see flag_types.h), and keeps
// SIGTERM and SIGINT for Serve(). Must come first, since threads that exist
// already would still take them.
void StartProcess(int argc, char** argv, absl::string_view usage);

// A channel with tether to the service at `address`, the value of the flag
// called `flag`; an empty one ends the process. Connects ahead of the first
// call.
std::shared_ptr<grpc::Channel> ConnectTo(const std::string& flag,
                                         const std::string& address);

// Serves `service`, with tether installed, on the loopback interface until
// SIGTERM or SIGINT: then takes no new requests, lets those that run finish,
// and cancels what is left after --shutdown_grace.
//
// Once requests are taken it prints "listening on port N" to standard output.
// Returns the process's exit code.
int Serve(grpc::Service& service);

}  // namespace shop

#endif  // SHOP_SERVICES_SERVE_H_
