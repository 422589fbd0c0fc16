// SPDX-License-Identifier: Apache-2.0
//
// The two sides of a call of any method, message by message, with operations
// that block. Each side writes down what it sees.
//
// For tests only.

#ifndef TETHER_SIDECAR_TESTING_BLOCKING_CALL_H_
#define TETHER_SIDECAR_TESTING_BLOCKING_CALL_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "sidecar/testing/operations.h"

namespace tether::sidecar::testing {

grpc::ByteBuffer ToBuffer(const std::string& message);
std::string ToString(const grpc::ByteBuffer& buffer);

// The client's side. Call Start() first. A call that isn't finished is
// cancelled by the destructor.
//
// Thread safety: none, except for context().TryCancel().
class ClientSide {
 public:
  // `channel` outlives it.
  ClientSide(const std::shared_ptr<grpc::Channel>& channel, std::string method);
  ~ClientSide();
  ClientSide(const ClientSide&) = delete;
  ClientSide& operator=(const ClientSide&) = delete;

  grpc::ClientContext& context() { return context_; }

  // Sends the headers.
  void Start();
  // Leaves them to the first message.
  void StartCorked();
  // Waits for the headers.
  bool ReadHeaders();
  bool Write(const std::string& message, grpc::WriteOptions options = {});
  bool WriteLast(const std::string& message);
  // Begins to write, and returns whether the message was taken within `time`.
  // Otherwise call FinishWrite() before the next one.
  bool BeginWrite(const std::string& message, absl::Duration time);
  bool FinishWrite();
  void HalfClose();
  // nullopt: there are no more messages.
  std::optional<std::string> Read();
  // Waits for the status. Doesn't close this side's half first.
  grpc::Status Finish();

  // A call of one message each way, in one batch as a generated stub sends it.
  grpc::Status Unary(const std::string& request, std::string* reply);

  // Doesn't write down the words of the status: they may differ.
  void WithoutWords() { with_words_ = false; }
  const std::string& transcript() const { return transcript_; }

 private:
  void NoteStatus(const grpc::Status& status);

  const std::string method_;
  grpc::GenericStub stub_;
  Operations operations_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  bool with_words_ = true;
  std::string transcript_;
};

// The server's side.
//
// Thread safety: none, except for context().TryCancel().
class ServerSide {
 public:
  ServerSide() : stream_(&context_) {}
  // A call that isn't finished is cancelled.
  ~ServerSide();
  ServerSide(const ServerSide&) = delete;
  ServerSide& operator=(const ServerSide&) = delete;

  // Waits for a call on `queue`, which returns `this` then.
  void Request(grpc::AsyncGenericService& service,
               grpc::ServerCompletionQueue& queue);
  // `queue` has returned `this`, with a call. Writes down what came with it.
  void OnArrived();

  grpc::GenericServerContext& context() { return context_; }
  const std::string& method() const { return context_.method(); }

  bool SendHeaders();
  // nullopt: there are no more messages.
  std::optional<std::string> Read();
  bool Write(const std::string& message, grpc::WriteOptions options = {});
  // In one batch, with the headers if they weren't sent.
  bool WriteAndFinish(const std::string& message, const grpc::Status& status);
  bool Finish(const grpc::Status& status);
  // Waits until the call is over. Returns whether it was cancelled, and writes
  // that down.
  bool WaitForEnd();
  // Whether the call is over, or becomes so within `time`.
  bool IsOver(absl::Duration time);

  const std::string& transcript() const { return transcript_; }

 private:
  Operations operations_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  bool arrived_ = false;
  bool end_is_noted_ = false;
  std::string transcript_;
};

}  // namespace tether::sidecar::testing

#endif  // TETHER_SIDECAR_TESTING_BLOCKING_CALL_H_
