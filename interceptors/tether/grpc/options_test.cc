// SPDX-License-Identifier: Apache-2.0
//
// All options can be written with C++20's designated initializers, without the
// warnings of -Wextra for fields that are left out.

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tether/grpc/call_options.h"
#include "tether/grpc/client.h"
#include "tether/grpc/policy.h"
#include "tether/grpc/report_options.h"
#include "tether/grpc/reserve.h"
#include "tether/grpc/server.h"
#include "tether/grpc/server_options.h"
#include "tether/propagation/edge.h"
#include "tether/propagation/redact.h"

namespace tether {
namespace {

TEST(OptionsTest, AServersAreWrittenInPlace) {
  const ServerOptions options{
      .time = {.max_timeout = absl::Seconds(10),
               .min_budget = absl::Milliseconds(5)},
      .methods = {{.pattern = "/shop.v1.Orders/TrackCourier",
                   .time = {.max_timeout = absl::InfiniteDuration()}}},
      .shed_fraction = 0.5,
      .edge = EdgeOptions{.keep_headers = {"x-canary"}},
      .report = {.when = ReportOptions::When::kAlways},
  };
  EXPECT_EQ(options.time.max_timeout, absl::Seconds(10));
  EXPECT_FALSE(options.time.default_timeout.has_value());
  ASSERT_EQ(options.methods.size(), 1u);
  EXPECT_EQ(options.methods[0].time.max_timeout, absl::InfiniteDuration());
  EXPECT_FALSE(options.methods[0].time.min_budget.has_value());
  ASSERT_TRUE(options.edge.has_value());
  EXPECT_EQ(options.edge->keep_headers.size(), 1u);
  EXPECT_FALSE(options.edge->keep_trace);
  const ServerInterceptorFactory factory(
      {.time = {.default_timeout = absl::Seconds(1)}});
}

TEST(OptionsTest, AClientsAreWrittenInPlace) {
  const ClientOptions options{
      .redact = {.headers = {"x-secret"}},
      .reserve = {.fixed = absl::Milliseconds(20)},
      .report_limits = {.max_bytes = 0},
  };
  EXPECT_EQ(options.reserve.fixed, absl::Milliseconds(20));
  EXPECT_EQ(options.reserve.fraction, Reserve().fraction);
  const ClientInterceptorFactory factory({.reserve = Reserve::None()});
}

TEST(OptionsTest, ACallsAreWrittenInPlace) {
  const ClientCall call(Background(),
                        {.detached = true, .reserve = Reserve::None()});
  EXPECT_FALSE(call.context().Done());
}

}  // namespace
}  // namespace tether
