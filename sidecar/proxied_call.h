// SPDX-License-Identifier: Apache-2.0
//
// One call that passes through a sidecar: messages, metadata and the status
// between a caller and a callee, in both directions.

#ifndef TETHER_SIDECAR_PROXIED_CALL_H_
#define TETHER_SIDECAR_PROXIED_CALL_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "sidecar/call_queue.h"
#include "sidecar/metadata.h"

namespace tether::sidecar {

// The bytes of a direction are read only as fast as they are written: at most
// two messages are held, one that is being written and the next.
//
// What is sent together by the one side is sent together to the other, as far
// as the queue has it at once: headers with the first message, the last message
// with the end. So a message waits until what follows it is known, or until the
// queue has nothing else to do (CallQueue::Defer). Headers without a message go
// out alone in the second case.
//
// Invariants:
//  1. All members are used on the queue's thread only.
//  2. `pending_` is the number of gRPC's operations, the notice of the end
//     included, whose events haven't run. The call deletes itself when it is 0.
//  3. Each accepted call is answered once, by Answer, whatever happens: when
//     the callee's status is here, or instead of calling the callee. If the
//     caller has gone, that has no effect, but it ends this object.
//  4. A call whose caller has gone before it half-closed is cancelled, never
//     half-closed: the callee must not take a part for the whole.
//  5. OnCallerGone comes before the callee's call is cancelled, whoever notices
//     first: a read, a write, or the notice of the end. Otherwise the callee's
//     CANCELLED could be taken for the answer of a caller that is there.
//
// Lifetime: it owns itself from Accept on.
class ProxiedCall : private CallQueue::Deferred {
 public:
  ProxiedCall(CallQueue& queue, grpc::AsyncGenericService& service);
  virtual ~ProxiedCall();

  // Waits for a call of a caller.
  void Accept();

 protected:
  // The caller's headers are here. Must call Forward or Answer.
  virtual void OnAccepted() = 0;
  // The call is being accepted, so another object must wait for the next one.
  virtual void AcceptNext() = 0;
  // The caller has cancelled the call, or is gone. Called at most once, before
  // the callee's call is cancelled.
  virtual void OnCallerGone() = 0;
  // `status` is about to be the answer. It may be changed, and `trailing`, too,
  // which holds what the callee sent, apart from names that are gRPC's.
  // `is_callees`: the callee's call has ended with it. `after_messages`:
  // messages come before it.
  virtual void OnAnswer(grpc::Status& status, bool is_callees,
                        bool after_messages, Metadata& trailing) = 0;
  // The most calls that the queue may serve at once.
  virtual int64_t MostInFlight() const = 0;

  // Calls the callee with what client_context() has, whose deadline and
  // metadata are set. client_context().c_call() is the core call from then on.
  void Forward(grpc::GenericStub& stub);
  // Answers instead.
  void Answer(const grpc::Status& status);

  CallQueue& queue() { return queue_; }
  grpc::AsyncGenericService& service() { return service_; }
  grpc::GenericServerContext& server_context() { return server_context_; }
  grpc::ClientContext& client_context() { return client_context_; }
  const std::string& method() const { return server_context_.method(); }

 private:
  class Event final : public CallQueue::Event {
   public:
    using Handler = void (ProxiedCall::*)(bool ok);
    Event(ProxiedCall* call, Handler handler)
        : call_(call), handler_(handler) {}
    void Run(bool ok) override { call_->OnEvent(handler_, ok); }

   private:
    ProxiedCall* const call_;
    const Handler handler_;
  };

  // Messages on their way in one direction.
  struct Direction {
    grpc::ByteBuffer read;   // what is being read, or has been
    grpc::ByteBuffer ready;  // to be written next
    bool has_read = false;
    bool has_ready = false;
    bool reading = false;
    bool writing = false;
    bool over = false;  // nothing more can be read

    bool may_read() const {
      return !reading && !over && !has_read && !(has_ready && writing);
    }
    void OnRead(bool ok);
    void TakeNext();
    void Clear();
  };

  void OnEvent(Event::Handler handler, bool ok);
  void OnIdle() override;

  void OnAccept(bool ok);
  void OnDone(bool ok);
  void OnRequestRead(bool ok);
  void OnRequestWritten(bool ok);
  void OnResponseHeaders(bool ok);
  void OnResponseRead(bool ok);
  void OnResponseWritten(bool ok);
  void OnCalleeStatus(bool ok);
  void OnAnswered(bool) {}

  void ReadRequest();
  void PumpRequest(bool idle);
  // Sends the headers: with what is written next, or alone.
  void StartWithNext();
  void StartAlone();
  void AskForHeaders();
  void ReadResponse();
  void PumpResponse(bool idle);
  void AnswerWithCallees();
  void NoteCallerGone();

  void* Started(Event& event) {
    ++pending_;
    return &event;
  }

  CallQueue& queue_;
  grpc::AsyncGenericService& service_;
  grpc::GenericServerContext server_context_;
  grpc::GenericServerAsyncReaderWriter server_stream_{&server_context_};
  grpc::ClientContext client_context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> client_stream_;

  Direction request_, response_;
  int pending_ = 0;
  bool accepted_ = false;
  bool started_ = false;      // the callee's call
  bool half_closed_ = false;  // it
  bool asked_for_headers_ = false;
  bool has_headers_ = false;   // the callee's are to be sent
  bool sent_message_ = false;  // to the caller
  bool has_status_ = false;    // the callee's is in status_
  bool answered_ = false;
  bool caller_gone_ = false;
  grpc::Status status_;

  Event accept_{this, &ProxiedCall::OnAccept};
  Event done_{this, &ProxiedCall::OnDone};
  Event request_read_{this, &ProxiedCall::OnRequestRead};
  Event request_written_{this, &ProxiedCall::OnRequestWritten};
  Event response_headers_{this, &ProxiedCall::OnResponseHeaders};
  Event response_read_{this, &ProxiedCall::OnResponseRead};
  Event response_written_{this, &ProxiedCall::OnResponseWritten};
  Event callee_status_{this, &ProxiedCall::OnCalleeStatus};
  Event answered_event_{this, &ProxiedCall::OnAnswered};
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_PROXIED_CALL_H_
