// SPDX-License-Identifier: Apache-2.0
//
// What the clients of the matrix ask for, and how requests and replies look in
// the typed and the generic APIs.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MATRIX_REQUEST_H_
#define TETHER_INTEGRATION_TESTS_MATRIX_REQUEST_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include <string>

#include "integration_tests/matrix/cell.h"
#include "tether/grpc/testing/probe.grpc.pb.h"

namespace tether::matrix {

using testing::Ping;
using testing::Pong;
using testing::Probe;

// Ping::number of an RPC's first message.
enum class Request : int {
  kAnswer = 0,  // reply OK
  kFail = 1,    // reply NOT_FOUND
  kWait = 2,    // wait for the end of the context, reply with its status

  // Streams only. Never look at the context until an operation fails; then note
  // what it says (Observation::failed), and reply with its status.
  kReadToEnd = 3,   // where the client streams: read until that fails
  kWriteToEnd = 4,  // where the server streams: write until that fails
};

// What a stream has when it is not cut short, in either direction.
inline constexpr int kMessages = 3;

inline constexpr char kFailure[] = "no such thing";

inline std::string MethodPath(Kind kind) {
  return std::string("/tether.testing.Probe/") + Name(kind);
}

// Messages of the typed APIs are Ping and Pong; of the generic ones,
// ByteBuffers with these in them.
inline void SetNumber(Ping& message, int number) { message.set_number(number); }
inline void SetNumber(Pong& message, int number) { message.set_number(number); }
inline void SetNumber(grpc::ByteBuffer& message, int number) {
  Ping ping;  // Pong is the same on the wire
  ping.set_number(number);
  bool own_buffer;
  grpc::SerializationTraits<Ping>::Serialize(ping, &message, &own_buffer);
}
// What a server streams: for Request::kWriteToEnd so large that a few fill any
// window, and writing blocks soon when nobody reads.
template <typename Message>
Message Payload(Request request) {
  Message message;
  if (request == Request::kWriteToEnd) {
    message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
        99, std::string(16 << 10, '.'));
  }
  return message;
}
template <>
inline grpc::ByteBuffer Payload(Request request) {
  const Pong pong = Payload<Pong>(request);
  grpc::ByteBuffer message;
  bool own_buffer;
  grpc::SerializationTraits<Pong>::Serialize(pong, &message, &own_buffer);
  return message;
}
inline int NumberOf(const Ping& message) { return message.number(); }
inline int NumberOf(grpc::ByteBuffer& message) {
  Ping ping;
  grpc::SerializationTraits<Ping>::Deserialize(&message, &ping);
  return ping.number();
}

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_REQUEST_H_
