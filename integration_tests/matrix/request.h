// SPDX-License-Identifier: Apache-2.0
//
// The requests of the matrix's clients, and the form of requests and replies in
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

  // Streams only. Don't observe the context until an operation fails; then
  // record its state (Observation::failed), and reply with its status.
  kReadToEnd = 3,   // if the client streams: read until that fails
  kWriteToEnd = 4,  // if the server streams: write until that fails
};

// The number of messages in each direction of a stream that isn't cut short.
inline constexpr int kMessages = 3;

inline constexpr char kFailure[] = "no such thing";

inline std::string MethodPath(Kind kind) {
  return std::string("/tether.testing.Probe/") + Name(kind);
}

// The messages of the typed APIs are Ping and Pong. The generic APIs have
// ByteBuffers that contain them.
inline void SetNumber(Ping& message, int number) { message.set_number(number); }
inline void SetNumber(Pong& message, int number) { message.set_number(number); }
inline void SetNumber(grpc::ByteBuffer& message, int number) {
  Ping ping;  // Pong is the same on the wire
  ping.set_number(number);
  bool own_buffer;
  grpc::SerializationTraits<Ping>::Serialize(ping, &message, &own_buffer);
}
// A message of a server's stream. For Request::kWriteToEnd it is so large that
// a few fill any window, so writing soon blocks if the peer doesn't read.
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
