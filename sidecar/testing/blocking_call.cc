// SPDX-License-Identifier: Apache-2.0

#include "sidecar/testing/blocking_call.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sidecar/testing/transcript.h"

namespace tether::sidecar::testing {
namespace {

using Result = Operations::Result;

}  // namespace

grpc::ByteBuffer ToBuffer(const std::string& message) {
  const grpc::Slice slice(message);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return "the message can't be read";
  std::string text;
  text.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

ClientSide::ClientSide(const std::shared_ptr<grpc::Channel>& channel,
                       std::string method)
    : method_(std::move(method)), stub_(channel) {}

ClientSide::~ClientSide() {
  context_.TryCancel();
  operations_.Drain();
}

void ClientSide::Start() {
  stream_ = stub_.PrepareCall(&context_, method_, operations_.queue());
  stream_->StartCall(operations_.Begin(Operations::kStart));
  operations_.Wait(Operations::kStart);
}

void ClientSide::StartCorked() {
  context_.set_initial_metadata_corked(true);
  stream_ = stub_.PrepareCall(&context_, method_, operations_.queue());
  stream_->StartCall(nullptr);  // never returned
}

bool ClientSide::ReadHeaders() {
  stream_->ReadInitialMetadata(operations_.Begin(Operations::kHeaders));
  if (operations_.Wait(Operations::kHeaders) != Result::kOk) return false;
  absl::StrAppend(&transcript_, "headers\n");
  return true;
}

bool ClientSide::Write(const std::string& message, grpc::WriteOptions options) {
  stream_->Write(ToBuffer(message), options,
                 operations_.Begin(Operations::kWrite));
  return FinishWrite();
}

bool ClientSide::WriteLast(const std::string& message) {
  return Write(message, grpc::WriteOptions().set_last_message());
}

bool ClientSide::BeginWrite(const std::string& message, absl::Duration time) {
  stream_->Write(ToBuffer(message), operations_.Begin(Operations::kWrite));
  return operations_.Wait(Operations::kWrite, time) == Result::kOk;
}

bool ClientSide::FinishWrite() {
  return operations_.Wait(Operations::kWrite) == Result::kOk;
}

void ClientSide::HalfClose() {
  stream_->WritesDone(operations_.Begin(Operations::kHalfClose));
  operations_.Wait(Operations::kHalfClose);
}

std::optional<std::string> ClientSide::Read() {
  grpc::ByteBuffer buffer;
  stream_->Read(&buffer, operations_.Begin(Operations::kRead));
  const Result result = operations_.Wait(Operations::kRead);
  // The running operation writes into the buffer.
  if (result == Result::kRunning) {
    context_.TryCancel();
    operations_.Wait(Operations::kRead);
  }
  if (result != Result::kOk) {
    absl::StrAppend(&transcript_, "no more messages\n");
    return std::nullopt;
  }
  std::string message = ToString(buffer);
  absl::StrAppend(&transcript_,
                  "message: ", Describe(std::string_view(message)), "\n");
  return message;
}

grpc::Status ClientSide::Finish() {
  grpc::Status status;
  stream_->Finish(&status, operations_.Begin(Operations::kFinish));
  if (operations_.Wait(Operations::kFinish) == Result::kRunning) {
    context_.TryCancel();
    operations_.Wait(Operations::kFinish);
  }
  NoteStatus(status);
  return status;
}

grpc::Status ClientSide::Unary(const std::string& request, std::string* reply) {
  auto call = stub_.PrepareUnaryCall(&context_, method_, ToBuffer(request),
                                     operations_.queue());
  call->StartCall();
  grpc::ByteBuffer buffer;
  grpc::Status status;
  call->Finish(&buffer, &status, operations_.Begin(Operations::kFinish));
  if (operations_.Wait(Operations::kFinish) == Result::kRunning) {
    context_.TryCancel();
    operations_.Wait(Operations::kFinish);
  }
  if (status.ok()) *reply = ToString(buffer);
  absl::StrAppend(&transcript_, "reply: ", Describe(std::string_view(*reply)),
                  "\n");
  NoteStatus(status);
  return status;
}

void ClientSide::NoteStatus(const grpc::Status& status) {
  absl::StrAppend(&transcript_, "headers:\n",
                  Describe(context_.GetServerInitialMetadata()), "trailers:\n",
                  Describe(context_.GetServerTrailingMetadata()));
  absl::StrAppend(
      &transcript_,
      Describe(with_words_ ? status : grpc::Status(status.error_code(), "")));
}

ServerSide::~ServerSide() {
  if (arrived_) context_.TryCancel();
  operations_.Drain();
}

void ServerSide::Request(grpc::AsyncGenericService& service,
                         grpc::ServerCompletionQueue& queue) {
  context_.AsyncNotifyWhenDone(operations_.Begin(Operations::kEnd));
  service.RequestCall(&context_, &stream_, operations_.queue(), &queue, this);
}

void ServerSide::OnArrived() {
  arrived_ = true;
  const bool limited =
      context_.deadline() != std::chrono::system_clock::time_point::max();
  absl::StrAppend(&transcript_, "call of ", context_.method(), " at ",
                  context_.host(), limited ? ", with" : ", without",
                  " a deadline:\n", Describe(context_.client_metadata()));
}

bool ServerSide::SendHeaders() {
  stream_.SendInitialMetadata(operations_.Begin(Operations::kHeaders));
  return operations_.Wait(Operations::kHeaders) == Result::kOk;
}

std::optional<std::string> ServerSide::Read() {
  grpc::ByteBuffer buffer;
  stream_.Read(&buffer, operations_.Begin(Operations::kRead));
  const Result result = operations_.Wait(Operations::kRead);
  if (result == Result::kRunning) {
    context_.TryCancel();
    operations_.Wait(Operations::kRead);
  }
  if (result != Result::kOk) {
    absl::StrAppend(&transcript_, "no more messages\n");
    return std::nullopt;
  }
  std::string message = ToString(buffer);
  absl::StrAppend(&transcript_,
                  "message: ", Describe(std::string_view(message)), "\n");
  return message;
}

bool ServerSide::Write(const std::string& message, grpc::WriteOptions options) {
  stream_.Write(ToBuffer(message), options,
                operations_.Begin(Operations::kWrite));
  return operations_.Wait(Operations::kWrite) == Result::kOk;
}

bool ServerSide::WriteAndFinish(const std::string& message,
                                const grpc::Status& status) {
  stream_.WriteAndFinish(ToBuffer(message), {}, status,
                         operations_.Begin(Operations::kFinish));
  return operations_.Wait(Operations::kFinish) == Result::kOk;
}

bool ServerSide::Finish(const grpc::Status& status) {
  stream_.Finish(status, operations_.Begin(Operations::kFinish));
  return operations_.Wait(Operations::kFinish) == Result::kOk;
}

bool ServerSide::WaitForEnd() {
  if (!IsOver(tether::testing::kGiveUp)) return false;
  const bool cancelled = context_.IsCancelled();
  if (!std::exchange(end_is_noted_, true)) {
    absl::StrAppend(&transcript_, cancelled ? "cancelled\n" : "over\n");
  }
  return cancelled;
}

bool ServerSide::IsOver(absl::Duration time) {
  return operations_.Wait(Operations::kEnd, time) != Result::kRunning;
}

}  // namespace tether::sidecar::testing
