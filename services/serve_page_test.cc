// SPDX-License-Identifier: Apache-2.0
//
// The line about the status page that a live service prints.

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/serve.h"
#include "shop/v1/inventory.grpc.pb.h"

namespace shop {
namespace {

using testing::HasSubstr;
using testing::Not;

// What a live service prints until it is stopped, with a page at `address`.
template <const char* address>
std::string Output() {
  SetLivePage([]() -> std::string { return address; });
  v1::Inventory::Service service;
  // StartProcess has blocked it, so Serve finds it when it waits.
  kill(getpid(), SIGTERM);
  testing::internal::CaptureStdout();
  EXPECT_EQ(Serve(service), 0);
  return testing::internal::GetCapturedStdout();
}

constexpr char kNone[] = "";
constexpr char kSome[] = "http://127.0.0.1:5/";

TEST(ServePageTest, TheAddressIsPrintedOnlyIfThePageHasStarted) {
  char program[] = "serve_page_test", live[] = "--live";
  char* arguments[] = {program, live, nullptr};
  StartProcess(2, arguments, "");
  EXPECT_THAT(Output<kSome>(),
              HasSubstr("status page at http://127.0.0.1:5/\nlistening on"));
  const std::string without = Output<kNone>();
  EXPECT_THAT(without, Not(HasSubstr("status page")));
  EXPECT_THAT(without, HasSubstr("listening on port "));
}

}  // namespace
}  // namespace shop
