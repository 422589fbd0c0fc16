// Protocol buffer messages as values of HeaderPropagator.

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

// Writes a T in its binary form, so the header must be a "...-bin" one: in
// another, most messages are dropped. What doesn't parse as a T, or lacks a
// required field, is dropped. Fields that T doesn't know are kept. Of a field
// of type `string` that is no UTF-8, Protobuf itself logs a line, as often as a
// peer sends it: `bytes` doesn't.
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
            // Not ParseFromArray: it logs what is missing.
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
