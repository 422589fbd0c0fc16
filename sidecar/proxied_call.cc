// SPDX-License-Identifier: Apache-2.0

#include "sidecar/proxied_call.h"

#include <grpc/grpc.h>

#include <string>
#include <utility>

namespace tether::sidecar {

void ProxiedCall::Direction::OnRead(bool ok) {
  reading = false;
  over = !ok;
  has_read = ok;
  if (!has_ready) TakeNext();
}

void ProxiedCall::Direction::TakeNext() {
  ready.Clear();
  has_ready = std::exchange(has_read, false);
  if (has_ready) ready.Swap(&read);
}

void ProxiedCall::Direction::Clear() {
  ready.Clear();
  has_ready = false;
  // While a read is under way, core writes into `read`.
  if (!reading) read.Clear();
  has_read = false;
}

ProxiedCall::ProxiedCall(CallQueue& queue, grpc::AsyncGenericService& service)
    : queue_(queue), service_(service) {
  queue_.AddUser();
}

ProxiedCall::~ProxiedCall() {
  if (accepted_) queue_.AddInFlight(-1);
  queue_.RemoveUser();
}

void ProxiedCall::Accept() {
  server_context_.AsyncNotifyWhenDone(&done_);
  service_.RequestCall(&server_context_, &server_stream_, queue_.get(),
                       queue_.get(), Started(accept_));
}

void ProxiedCall::OnEvent(Event::Handler handler, bool ok) {
  --pending_;
  (this->*handler)(ok);
  if (pending_ == 0) delete this;
}

void ProxiedCall::OnIdle() {
  PumpRequest(/*idle=*/true);
  PumpResponse(/*idle=*/true);
}

void ProxiedCall::OnAccept(bool ok) {
  if (!ok) return;  // the server shuts down; there is no notice of the end
  ++pending_;       // done_
  accepted_ = true;
  AcceptNext();
  if (queue_.AddInFlight(1) > MostInFlight()) {
    queue_.counters().Add(Count::kOverLimit);
    return Answer(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                               "tether-sidecar: too many calls in flight"));
  }
  OnAccepted();
}

void ProxiedCall::OnDone(bool) {
  if (server_context_.IsCancelled()) NoteCallerGone();
}

void ProxiedCall::NoteCallerGone() {
  if (std::exchange(caller_gone_, true)) return;
  OnCallerGone();
  if (client_stream_ == nullptr) return;
  client_context_.TryCancel();
  request_.Clear();
  response_.Clear();
  if (started_) return;
  // It never will be, so there is nothing to wait for.
  has_status_ = true;
  status_ = grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone");
  PumpResponse(/*idle=*/false);
}

// ---- From the caller to the callee ------------------------------------------

void ProxiedCall::Forward(grpc::GenericStub& stub) {
  client_stream_ = stub.PrepareCall(&client_context_, server_context_.method(),
                                    queue_.get());
  ReadRequest();
  queue_.Defer(*this);
}

void ProxiedCall::ReadRequest() {
  if (answered_ || caller_gone_ || !request_.may_read()) return;
  request_.reading = true;
  server_stream_.Read(&request_.read, Started(request_read_));
}

void ProxiedCall::OnRequestRead(bool ok) {
  request_.OnRead(ok);
  // Without a message, either the caller has sent all or the call is over. Core
  // tells the two apart; gRPC's own IsCancelled() relies on the same.
  if (answered_) return;
  if (!ok && grpc_call_failed_before_recv_message(server_context_.c_call())) {
    return NoteCallerGone();
  }
  ReadRequest();
  PumpRequest(/*idle=*/false);
}

void ProxiedCall::PumpRequest(bool idle) {
  if (client_stream_ == nullptr || request_.writing || half_closed_ ||
      has_status_ || caller_gone_) {
    return;
  }
  if (!request_.has_ready) {
    if (request_.over) {
      half_closed_ = true;
      StartWithNext();
      request_.writing = true;
      client_stream_->WritesDone(Started(request_written_));
    } else if (!started_ && idle) {
      return StartAlone();
    }
  } else {
    const bool is_last = request_.over && !request_.has_read;
    if (!is_last && !request_.has_read && !idle) return queue_.Defer(*this);
    half_closed_ = is_last;
    StartWithNext();
    request_.writing = true;
    grpc::WriteOptions options;
    if (is_last) options.set_last_message();
    client_stream_->Write(request_.ready, options, Started(request_written_));
    request_.TakeNext();
    ReadRequest();
  }
  if (started_ && !asked_for_headers_) AskForHeaders();
}

void ProxiedCall::StartWithNext() {
  if (std::exchange(started_, true)) return;
  client_context_.set_initial_metadata_corked(true);
  client_stream_->StartCall(nullptr);
}

void ProxiedCall::StartAlone() {
  started_ = true;
  request_.writing = true;  // gRPC allows one of the two at a time
  client_stream_->StartCall(Started(request_written_));
  AskForHeaders();
}

void ProxiedCall::AskForHeaders() {
  asked_for_headers_ = true;
  client_stream_->ReadInitialMetadata(Started(response_headers_));
}

void ProxiedCall::OnRequestWritten(bool ok) {
  request_.writing = false;
  if (!ok) {
    // The call is over. Its status comes as the answer.
    half_closed_ = true;
    request_.Clear();
    return;
  }
  ReadRequest();
  PumpRequest(/*idle=*/false);
}

// ---- From the callee to the caller ------------------------------------------

void ProxiedCall::OnResponseHeaders(bool ok) {
  if (ok) {
    CopyMetadata(client_context_.GetServerInitialMetadata(),
                 [this](std::string key, std::string value) {
                   server_context_.AddInitialMetadata(key, value);
                   has_headers_ = true;
                 });
  }
  ReadResponse();
  if (has_headers_) queue_.Defer(*this);
}

void ProxiedCall::ReadResponse() {
  if (has_status_ || !response_.may_read()) return;
  response_.reading = true;
  client_stream_->Read(&response_.read, Started(response_read_));
}

void ProxiedCall::OnResponseRead(bool ok) {
  response_.OnRead(ok);
  if (!ok) {
    client_stream_->Finish(&status_, Started(callee_status_));
  } else {
    if (caller_gone_) response_.Clear();
    ReadResponse();
  }
  PumpResponse(/*idle=*/false);
}

void ProxiedCall::OnCalleeStatus(bool) {
  has_status_ = true;
  request_.Clear();
  PumpResponse(/*idle=*/false);
}

void ProxiedCall::PumpResponse(bool idle) {
  if (response_.writing || answered_) return;
  if (has_status_ && !response_.has_read) return AnswerWithCallees();
  if (response_.has_ready) {
    // The status that follows goes with it.
    if (response_.over && !response_.has_read) return;
    if (!response_.has_read && !idle) return queue_.Defer(*this);
    sent_message_ = true;
    has_headers_ = false;
    response_.writing = true;
    server_stream_.Write(response_.ready, Started(response_written_));
    response_.TakeNext();
    ReadResponse();
  } else if (has_headers_ && idle) {
    has_headers_ = false;
    response_.writing = true;
    server_stream_.SendInitialMetadata(Started(response_written_));
  }
}

void ProxiedCall::OnResponseWritten(bool ok) {
  response_.writing = false;
  // If a message can't be sent, core cancels the call.
  if (!ok) NoteCallerGone();
  ReadResponse();
  PumpResponse(/*idle=*/false);
}

void ProxiedCall::AnswerWithCallees() {
  answered_ = true;
  Metadata trailing;
  // Otherwise the callee wasn't called.
  const bool is_callees = started_;
  if (is_callees) {
    CopyMetadata(client_context_.GetServerTrailingMetadata(),
                 [&trailing](std::string key, std::string value) {
                   trailing.emplace(std::move(key), std::move(value));
                 });
  }
  OnAnswer(status_, is_callees, sent_message_ || response_.has_ready, trailing);
  for (auto& [key, value] : trailing) {
    server_context_.AddTrailingMetadata(key, value);
  }
  if (response_.has_ready) {
    server_stream_.WriteAndFinish(response_.ready, grpc::WriteOptions(),
                                  status_, Started(answered_event_));
  } else {
    server_stream_.Finish(status_, Started(answered_event_));
  }
  response_.Clear();
}

void ProxiedCall::Answer(const grpc::Status& status) {
  status_ = status;
  has_status_ = true;
  AnswerWithCallees();
}

}  // namespace tether::sidecar
