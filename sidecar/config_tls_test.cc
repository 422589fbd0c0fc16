// SPDX-License-Identifier: Apache-2.0
//
// Tests that the files of a configuration's TLS make connections, and that
// those without the right certificate don't come about.

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "sidecar/config.h"
#include "sidecar/options.h"
#include "testing/temp_folder.h"
#include "testing/test_certificate.h"
#include "tether/testing/give_up.h"

namespace tether::sidecar {
namespace {

using tether::testing::kGiveUp;
using tether::testing::TempFolder;

// Deleted at the end.
const TempFolder& Folder() {
  static const TempFolder folder;
  return folder;
}

// The certificate is its own authority, and is valid for 127.0.0.1.
std::string Cert() { return Folder().Write("test.crt", kTestCertificate); }

std::string Key() { return Folder().Write("test.key", kTestKey); }

// `listen_tls` and `tls` are the fields of an egress.
EgressOptions Egress(const std::string& listen_tls, const std::string& tls) {
  const auto options =
      ParseConfig(absl::StrCat("ingress { listen: '127.0.0.1:0' app: 'a:1' }\n",
                               "egress { listen: '127.0.0.1:0' target: 'b:1'\n",
                               listen_tls, "\n", tls, " }"),
                  "f");
  EXPECT_EQ(options.status(), absl::OkStatus());
  return options.ok() && options->egress.size() == 1 ? options->egress[0]
                                                     : EgressOptions();
}

// Whether a client with `tls` can connect to a port with `listen_tls`.
bool Connects(const std::string& listen_tls, const std::string& tls) {
  const EgressOptions egress = Egress(listen_tls, tls);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0",
                           egress.listen_credentials != nullptr
                               ? egress.listen_credentials
                               : grpc::InsecureServerCredentials(),
                           &port);
  grpc::CallbackGenericService service;
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto channel = grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", port),
      egress.credentials != nullptr ? egress.credentials
                                    : grpc::InsecureChannelCredentials());
  const auto give_up = absl::ToChronoTime(absl::Now() + kGiveUp);
  grpc_connectivity_state state = channel->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY &&
         state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
    if (!channel->WaitForStateChange(state, give_up)) break;
    state = channel->GetState(/*try_to_connect=*/true);
  }
  EXPECT_TRUE(state == GRPC_CHANNEL_READY ||
              state == GRPC_CHANNEL_TRANSIENT_FAILURE)
      << state;
  server->Shutdown();
  return state == GRPC_CHANNEL_READY;
}

TEST(ConfigTlsTest, APortWithTlsHasClientsThatTrustIt) {
  const std::string port =
      absl::StrCat("listen_tls { cert: '", Cert(), "' key: '", Key(), "' }");
  EXPECT_TRUE(Connects(port, absl::StrCat("tls { ca: '", Cert(), "' }")));
  // With the system's authorities.
  EXPECT_FALSE(Connects(port, "tls {}"));
  EXPECT_FALSE(Connects(port, ""));
  EXPECT_FALSE(Connects("", absl::StrCat("tls { ca: '", Cert(), "' }")));
  EXPECT_TRUE(Connects("", ""));
}

TEST(ConfigTlsTest, APortWithClientCaWantsACertificate) {
  const std::string port =
      absl::StrCat("listen_tls { cert: '", Cert(), "' key: '", Key(),
                   "' client_ca: '", Cert(), "' }");
  EXPECT_TRUE(Connects(port, absl::StrCat("tls { ca: '", Cert(), "' cert: '",
                                          Cert(), "' key: '", Key(), "' }")));
  EXPECT_FALSE(Connects(port, absl::StrCat("tls { ca: '", Cert(), "' }")));
}

}  // namespace
}  // namespace tether::sidecar
