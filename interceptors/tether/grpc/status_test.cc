// SPDX-License-Identifier: Apache-2.0

#include "tether/grpc/status.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tether/end_reason.h"

namespace tether {
namespace {

TEST(StatusTest, EveryCodeSurvivesTheRoundTrip) {
  for (int code = 0; code <= 16; ++code) {
    const grpc::Status status(static_cast<grpc::StatusCode>(code), "why");
    const grpc::Status back = ToGrpcStatus(FromGrpcStatus(status));
    EXPECT_EQ(back.error_code(), code);
    EXPECT_EQ(back.error_message(), code == 0 ? "" : "why");
    EXPECT_EQ(static_cast<int>(FromGrpcStatus(status).code()), code);
  }
}

TEST(StatusTest, BinaryDetailsSurviveTheRoundTrip) {
  const std::string details("a\0b\xff", 4);
  const grpc::Status status(grpc::StatusCode::INTERNAL, "why", details);
  EXPECT_EQ(ToGrpcStatus(FromGrpcStatus(status)).error_details(), details);
}

TEST(StatusTest, AnUnknownCodeBecomesUnknown) {
  for (int code : {-1, 17, 99}) {
    EXPECT_EQ(
        FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(code), "x"))
            .code(),
        absl::StatusCode::kUnknown);
    EXPECT_EQ(
        ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "x"))
            .error_code(),
        grpc::StatusCode::UNKNOWN);
  }
}

TEST(StatusTest, AContextsStatusIsItsReason) {
  auto [ctx, cancel] = WithCancel(Background());
  EXPECT_TRUE(StatusOf(ctx).ok());
  EXPECT_TRUE(StatusOf(Background()).ok());
  cancel();
  EXPECT_EQ(StatusOf(ctx).error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(StatusOf(ctx).error_message(), "context canceled");
}

TEST(StatusTest, ACauseIsAddedAndDoesNotChangeTheCode) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel(absl::InternalError("disk on fire"));
  EXPECT_EQ(StatusOf(ctx).error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(StatusOf(ctx).error_message(), "context canceled: disk on fire");

  auto [timed, cancel_timed] = WithTimeout(Background(), absl::ZeroDuration(),
                                           absl::UnavailableError("too slow"));
  EXPECT_EQ(StatusOf(timed).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(StatusOf(timed).error_message(),
            "context deadline exceeded: too slow");
}

TEST(StatusTest, ADrainHasTheCodeOfItsCause) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel(WithEndReason(absl::UnavailableError("draining"),
                       EndReason::kServerShutdown));
  EXPECT_TRUE(absl::IsCancelled(ctx.Err()));
  EXPECT_EQ(StatusOf(ctx).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(StatusOf(ctx).error_message(), "context canceled: draining");
}

}  // namespace
}  // namespace tether
