// SPDX-License-Identifier: Apache-2.0
//
// A codec that lets HeaderPropagator carry protocol buffer messages.

#ifndef TETHER_PROPAGATION_PROTO_CODEC_H_
#define TETHER_PROPAGATION_PROTO_CODEC_H_

#include <climits>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "google/protobuf/message_lite.h"
#include "tether/propagation/header.h"

namespace tether {

// Writes messages in binary form, so the name of the header must end in "-bin";
// in other headers most messages are dropped. Values that don't parse as a T or
// lack a required field are dropped. Unknown fields are kept.
//
// Protobuf logs a line for each `string` field that is not UTF-8, every time
// that a peer sends one. Use `bytes` fields to avoid that.
//
// Example:
//
//   inline constexpr tether::Key<shop::Caller> kCaller{"caller"};
//
//   auto propagator =
//       std::make_shared<tether::HeaderPropagator<shop::Caller>>(
//           kCaller, "x-caller-bin", tether::ProtoCodec<shop::Caller>());
template <typename T>
HeaderCodec<T> ProtoCodec() {
  static_assert(std::is_base_of_v<google::protobuf::MessageLite, T>);
  return {[](std::string_view bytes) -> std::optional<T> {
            T message;
            // Not ParseFromArray, which logs missing fields.
            if (bytes.size() > size_t{INT_MAX} ||
                !message.ParsePartialFromArray(
                    bytes.data(), static_cast<int>(bytes.size())) ||
                !message.IsInitialized()) {
              return std::nullopt;
            }
            return std::optional<T>(std::move(message));
          },
          [](const T& message) -> std::optional<std::string> {
            std::string bytes;
            if (!message.IsInitialized() ||
                !message.SerializePartialToString(&bytes)) {
              return std::nullopt;
            }
            return bytes;
          }};
}

}  // namespace tether

#endif  // TETHER_PROPAGATION_PROTO_CODEC_H_
