// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/matrix/client.h"

#include <grpcpp/generic/generic_stub.h>

#include <utility>

#include "absl/synchronization/notification.h"

namespace tether::matrix {
namespace {

template <typename Message>
Message Numbered(Request request) {
  Message message;
  SetNumber(message, static_cast<int>(request));
  return message;
}

// ---- Sync ----

Reply CallSync(Kind kind, Probe::Stub& stub, grpc::ClientContext* context,
               Request request) {
  const Ping ping = Numbered<Ping>(request);
  Pong pong;
  Reply reply;
  switch (kind) {
    case Kind::kUnary:
      reply.status = stub.Unary(context, ping, &pong);
      reply.messages = reply.status.ok() ? 1 : 0;
      break;
    case Kind::kUpload: {
      auto writer = stub.Upload(context, &pong);
      if (request == Request::kWait) {
        writer->Write(ping);
      } else {
        for (int i = 0; i < kMessages && writer->Write(ping); ++i) {
        }
        writer->WritesDone();
      }
      reply.status = writer->Finish();
      reply.messages = reply.status.ok() ? 1 : 0;
      break;
    }
    case Kind::kDownload: {
      auto reader = stub.Download(context, ping);
      while (reader->Read(&pong)) ++reply.messages;
      reply.status = reader->Finish();
      break;
    }
    case Kind::kChat: {
      auto stream = stub.Chat(context);
      if (request == Request::kWait) {
        stream->Write(ping);
      } else {
        for (int i = 0; i < kMessages && stream->Write(ping); ++i) {
        }
        stream->WritesDone();
      }
      while (stream->Read(&pong)) ++reply.messages;
      reply.status = stream->Finish();
      break;
    }
  }
  return reply;
}

// ---- Async ----

// A completion queue with one operation at a time.
class OneByOne {
 public:
  ~OneByOne() {
    cq_.Shutdown();
    void* tag;
    bool ok;
    while (cq_.Next(&tag, &ok)) {
    }
  }
  grpc::CompletionQueue* queue() { return &cq_; }
  void* tag() { return this; }
  // Waits for the operation that was started last. Returns true if it
  // succeeded.
  bool Await() {
    void* tag;
    bool ok = false;
    return cq_.Next(&tag, &ok) && ok;
  }

 private:
  grpc::CompletionQueue cq_;
};

// Client streaming and bidirectional: writes all messages of `request`.
// `stream` has been started.
template <typename Message, typename Stream>
void WriteAll(Stream& stream, Request request, OneByOne& one) {
  const auto ping = Numbered<Message>(request);
  const int count = request == Request::kWait ? 1 : kMessages;
  for (int i = 0; i < count; ++i) {
    stream.Write(ping, one.tag());
    if (!one.Await()) return;
  }
  if (request == Request::kWait) return;
  stream.WritesDone(one.tag());
  one.Await();
}

template <typename Message, typename Stream>
Reply ReadAll(Stream& stream, OneByOne& one) {
  Reply reply;
  for (;;) {
    Message message;
    stream.Read(&message, one.tag());
    if (!one.Await()) break;
    ++reply.messages;
  }
  stream.Finish(&reply.status, one.tag());
  one.Await();
  return reply;
}

Reply CallAsync(Kind kind, Probe::Stub& stub, grpc::ClientContext* context,
                Request request) {
  const Ping ping = Numbered<Ping>(request);
  OneByOne one;
  switch (kind) {
    case Kind::kUnary: {
      Pong pong;
      Reply reply;
      auto rpc = stub.AsyncUnary(context, ping, one.queue());
      rpc->Finish(&pong, &reply.status, one.tag());
      one.Await();
      reply.messages = reply.status.ok() ? 1 : 0;
      return reply;
    }
    case Kind::kUpload: {
      Pong pong;
      Reply reply;
      auto writer = stub.AsyncUpload(context, &pong, one.queue(), one.tag());
      if (one.Await()) WriteAll<Ping>(*writer, request, one);
      writer->Finish(&reply.status, one.tag());
      one.Await();
      reply.messages = reply.status.ok() ? 1 : 0;
      return reply;
    }
    case Kind::kDownload: {
      auto reader = stub.AsyncDownload(context, ping, one.queue(), one.tag());
      one.Await();
      return ReadAll<Pong>(*reader, one);
    }
    case Kind::kChat: {
      auto stream = stub.AsyncChat(context, one.queue(), one.tag());
      if (one.Await()) WriteAll<Ping>(*stream, request, one);
      return ReadAll<Pong>(*stream, one);
    }
  }
  return {};
}

// Every kind except unary is a bidirectional stream here. The server sees no
// difference.
Reply CallGenericAsync(Kind kind, grpc::GenericStub& stub,
                       grpc::ClientContext* context, Request request) {
  const std::string method = MethodPath(kind);
  OneByOne one;
  if (kind == Kind::kUnary) {
    grpc::ByteBuffer pong;
    Reply reply;
    auto rpc = stub.PrepareUnaryCall(
        context, method, Numbered<grpc::ByteBuffer>(request), one.queue());
    rpc->StartCall();
    rpc->Finish(&pong, &reply.status, one.tag());
    one.Await();
    reply.messages = reply.status.ok() ? 1 : 0;
    return reply;
  }
  auto stream = stub.PrepareCall(context, method, one.queue());
  stream->StartCall(one.tag());
  if (one.Await()) {
    if (kind == Kind::kDownload) {
      stream->WriteLast(Numbered<grpc::ByteBuffer>(request),
                        grpc::WriteOptions(), one.tag());
      one.Await();
    } else {
      WriteAll<grpc::ByteBuffer>(*stream, request, one);
    }
  }
  return ReadAll<grpc::ByteBuffer>(*stream, one);
}

// ---- Callback ----

// The base of the reactors: they write, then read, then finish.
template <typename Out>
class Progress {
 public:
  explicit Progress(Request request)
      : out_(Numbered<Out>(request)),
        to_write_(request == Request::kWait ? 1 : kMessages),
        close_(request != Request::kWait) {}

  Reply Await() {
    done_.WaitForNotification();
    return reply_;
  }

 protected:
  Out out_;
  int to_write_;
  const bool close_;
  Reply reply_;
  absl::Notification done_;
};

class Uploader final : public Progress<Ping>,
                       public grpc::ClientWriteReactor<Ping> {
 public:
  Uploader(Probe::Stub& stub, grpc::ClientContext* context, Request request)
      : Progress(request) {
    stub.async()->Upload(context, &pong_, this);
    StartWrite(&out_);
    StartCall();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    if (--to_write_ > 0) {
      StartWrite(&out_);
    } else if (close_) {
      StartWritesDone();
    }
  }
  void OnDone(const grpc::Status& status) override {
    reply_.status = status;
    reply_.messages = status.ok() ? 1 : 0;
    done_.Notify();
  }

 private:
  Pong pong_;
};

class Downloader final : public Progress<Ping>,
                         public grpc::ClientReadReactor<Pong> {
 public:
  Downloader(Probe::Stub& stub, grpc::ClientContext* context, Request request)
      : Progress(request) {
    stub.async()->Download(context, &out_, this);
    StartRead(&pong_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ++reply_.messages;
    StartRead(&pong_);
  }
  void OnDone(const grpc::Status& status) override {
    reply_.status = status;
    done_.Notify();
  }

 private:
  Pong pong_;
};

template <typename Out, typename In>
class Chatter final : public Progress<Out>,
                      public grpc::ClientBidiReactor<Out, In> {
 public:
  explicit Chatter(Request request) : Progress<Out>(request) {}

  // Called when the stub has prepared the call. If `whole`, writes one message
  // and closes the stream.
  void Start(bool whole) {
    this->StartRead(&in_);
    if (whole) {
      this->to_write_ = 1;
      this->StartWriteLast(&this->out_, grpc::WriteOptions());
    } else {
      this->StartWrite(&this->out_);
    }
    whole_ = whole;
    this->StartCall();
  }
  void OnWriteDone(bool ok) override {
    if (!ok || whole_) return;
    if (--this->to_write_ > 0) {
      this->StartWrite(&this->out_);
    } else if (this->close_) {
      this->StartWritesDone();
    }
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ++this->reply_.messages;
    this->StartRead(&in_);
  }
  void OnDone(const grpc::Status& status) override {
    this->reply_.status = status;
    this->done_.Notify();
  }

 private:
  In in_;
  bool whole_ = false;
};

Reply CallCallback(Kind kind, Probe::Stub& stub, grpc::ClientContext* context,
                   Request request) {
  switch (kind) {
    case Kind::kUnary: {
      const Ping ping = Numbered<Ping>(request);
      Pong pong;
      Reply reply;
      absl::Notification done;
      stub.async()->Unary(context, &ping, &pong, [&](grpc::Status status) {
        reply.messages = status.ok() ? 1 : 0;
        reply.status = std::move(status);
        done.Notify();
      });
      done.WaitForNotification();
      return reply;
    }
    case Kind::kUpload:
      return Uploader(stub, context, request).Await();
    case Kind::kDownload:
      return Downloader(stub, context, request).Await();
    case Kind::kChat: {
      Chatter<Ping, Pong> chatter(request);
      stub.async()->Chat(context, &chatter);
      chatter.Start(/*whole=*/false);
      return chatter.Await();
    }
  }
  return {};
}

Reply CallGenericCallback(Kind kind, grpc::GenericStub& stub,
                          grpc::ClientContext* context, Request request) {
  const std::string method = MethodPath(kind);
  if (kind == Kind::kUnary) {
    const auto ping = Numbered<grpc::ByteBuffer>(request);
    grpc::ByteBuffer pong;
    Reply reply;
    absl::Notification done;
    stub.UnaryCall(context, method, grpc::StubOptions(), &ping, &pong,
                   [&](grpc::Status status) {
                     reply.messages = status.ok() ? 1 : 0;
                     reply.status = std::move(status);
                     done.Notify();
                   });
    done.WaitForNotification();
    return reply;
  }
  Chatter<grpc::ByteBuffer, grpc::ByteBuffer> chatter(request);
  stub.PrepareBidiStreamingCall(context, method, grpc::StubOptions(), &chatter);
  chatter.Start(/*whole=*/kind == Kind::kDownload);
  return chatter.Await();
}

}  // namespace

Reply Call(ClientStyle style, Kind kind,
           const std::shared_ptr<grpc::Channel>& channel,
           grpc::ClientContext* context, Request request) {
  const auto stub = Probe::NewStub(channel);
  grpc::GenericStub generic_stub(channel);
  switch (style) {
    case ClientStyle::kSync:
      return CallSync(kind, *stub, context, request);
    case ClientStyle::kCallback:
      return CallCallback(kind, *stub, context, request);
    case ClientStyle::kAsync:
      return CallAsync(kind, *stub, context, request);
    case ClientStyle::kGenericAsync:
      return CallGenericAsync(kind, generic_stub, context, request);
    case ClientStyle::kGenericCallback:
      return CallGenericCallback(kind, generic_stub, context, request);
  }
  return {};
}

}  // namespace tether::matrix
