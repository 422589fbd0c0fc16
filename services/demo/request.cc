// SPDX-License-Identifier: Apache-2.0

#include "services/demo/request.h"

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/time/clock.h"
#include "shop/v1/storefront.grpc.pb.h"
#include "tether/after_func.h"
#include "tether/grpc/client.h"

namespace shop {
namespace {

grpc::Status Track(v1::Storefront::Stub& stub, tether::ClientCall& call,
                   const RequestOptions& options) {
  v1::TrackCourierRequest request;
  request.set_order_id(options.order_id);
  const auto reader = stub.TrackCourier(&call, request);
  v1::CourierPosition position;
  while (reader->Read(&position)) options.on_position(position);
  return reader->Finish();
}

grpc::Status GetPage(v1::Storefront::Stub& stub, tether::ClientCall& call,
                     const RequestOptions& options, RequestResult* result) {
  v1::GetOrderPageRequest request;
  request.set_order_id(options.order_id);
  v1::GetOrderPageResponse response;
  const grpc::Status status = stub.GetOrderPage(&call, request, &response);
  result->stock_is_default = response.order().stock_is_default();
  result->availability = response.availability();
  return status;
}

}  // namespace

RequestResult SendRequest(const tether::Context& ctx,
                          const RequestOptions& options) {
  const auto channel = tether::CreateChannel(
      options.address, grpc::InsecureChannelCredentials());
  const auto stub = v1::Storefront::NewStub(channel);
  // The demo doesn't measure connecting. If connecting fails, the call fails.
  channel->WaitForConnected(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));

  RequestResult result;
  result.start = std::chrono::steady_clock::now();
  auto [call_ctx, cancel] = tether::WithTimeout(ctx, options.deadline);
  const tether::CancelFunc& leave = cancel;
  auto [patience, stop] = tether::WithTimeout(
      tether::Background(),
      options.cancel_after.value_or(absl::InfiniteDuration()));
  const tether::Registration registration = tether::AfterFunc(
      patience, [&leave] { leave(absl::CancelledError("the client left")); });

  tether::ClientCall call(call_ctx);
  const grpc::Status status = options.on_position
                                  ? Track(*stub, call, options)
                                  : GetPage(*stub, call, options, &result);
  result.elapsed =
      absl::FromChrono(std::chrono::steady_clock::now() - result.start);
  result.report = call.report();
  // Both enums use the numbers of google.rpc.Code.
  result.status = absl::Status(
      static_cast<absl::StatusCode>(static_cast<int>(status.error_code())),
      status.error_message());
  return result;
}

}  // namespace shop
