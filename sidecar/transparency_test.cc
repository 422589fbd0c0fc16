// SPDX-License-Identifier: Apache-2.0
//
// Through two sidecars in a row, both sides of a call see what they see without
// them: messages of all kinds of calls, metadata and statuses. The other files
// of transparency tests are about how calls end and how they flow.
//
// What differs is in docs/sidecar.md, and in sidecar/testing/transcript.h.

#include "sidecar/testing/transparency.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe.grpc.pb.h"

namespace tether::sidecar {
namespace {

using testing::Client;
using testing::ClientSide;
using ::testing::HasSubstr;
using testing::kMethod;
using testing::ServerSide;
using testing::TransparencyTest;

INSTANTIATE_TEST_SUITE_P(Way, TransparencyTest,
                         ::testing::ValuesIn(testing::AllWays()),
                         [](const auto& param_info) {
                           return testing::NameOf(param_info.param);
                         });

// Bytes that differ from place to place, so that a lost or swapped part shows.
std::string Bytes(size_t size, uint32_t seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

// Answers one message with one.
void Echo(ServerSide& call) {
  const auto request = call.Read();
  if (!request) return;
  call.Read();  // the half-close
  call.WriteAndFinish(absl::StrCat("reply to ", *request), grpc::Status::OK);
}

// Answers each message with itself.
void EchoAll(ServerSide& call) {
  while (const auto message = call.Read()) call.Write(*message);
  call.Finish(grpc::Status::OK);
}

// ---- Kinds and messages ----

TEST_P(TransparencyTest, AUnaryCall) {
  const std::string seen = ExpectSame(Echo, [](Client& client) {
    std::string reply;
    EXPECT_TRUE(client.Prepare().Unary("request", &reply).ok());
    EXPECT_EQ(reply, "reply to request");
  });
  EXPECT_THAT(seen,
              HasSubstr("call of /sidecar.test.App/Scripted at app.test, "));
  EXPECT_THAT(seen, HasSubstr("without a deadline"));
}

TEST_P(TransparencyTest, AClientStream) {
  const std::string seen = ExpectSame(
      [](ServerSide& call) {
        int count = 0;
        while (call.Read()) ++count;
        call.WriteAndFinish(absl::StrCat(count), grpc::Status::OK);
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        for (int i = 0; i < 10; ++i) call.Write(absl::StrCat("message ", i));
        call.WriteLast("the last");
        EXPECT_EQ(call.Read(), "11");
        EXPECT_TRUE(call.Finish().ok());
      });
  EXPECT_THAT(seen, HasSubstr("message: \"the last\"\nno more messages"));
}

TEST_P(TransparencyTest, AServerStream) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.Read();
        for (int i = 0; i < 20; ++i) call.Write(absl::StrCat("message ", i));
        call.Finish(grpc::Status::OK);
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.WriteLast("start");
        int count = 0;
        while (call.Read()) ++count;
        EXPECT_EQ(count, 20);
        EXPECT_TRUE(call.Finish().ok());
      });
}

TEST_P(TransparencyTest, TwoHundredMessagesBackAndForth) {
  ExpectSame(EchoAll, [](Client& client) {
    ClientSide& call = client.Call();
    for (int i = 0; i < 200; ++i) {
      const std::string ball = absl::StrCat("ball ", i);
      EXPECT_TRUE(call.Write(ball));
      EXPECT_EQ(call.Read(), ball);
    }
    call.HalfClose();
    EXPECT_FALSE(call.Read());
    EXPECT_TRUE(call.Finish().ok());
  });
}

TEST_P(TransparencyTest, ACallWithoutMessages) {
  const std::string seen = ExpectSame(
      [](ServerSide& call) {
        EXPECT_FALSE(call.Read());
        call.Finish(grpc::Status::OK);
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.HalfClose();
        EXPECT_FALSE(call.Read());
        EXPECT_TRUE(call.Finish().ok());
      });
  EXPECT_THAT(seen, HasSubstr("status: 0"));
}

TEST_P(TransparencyTest, MessagesOfAllSizes) {
  // Around the sizes of HTTP/2 frames and windows, and empty ones.
  ExpectSame(EchoAll, [](Client& client) {
    ClientSide& call = client.Call();
    for (const size_t size : {0, 1, 0, 16379, 16384, 16385, 65535, 65536, 0}) {
      const std::string message = Bytes(size);
      EXPECT_TRUE(call.Write(message));
      EXPECT_EQ(call.Read(), message);
    }
    call.HalfClose();
    EXPECT_TRUE(call.Finish().ok());
  });
}

TEST_P(TransparencyTest, TwentyMebibytesEachWay) {
  ExpectSame(EchoAll, [](Client& client) {
    const std::string message = Bytes(20 * 1024 * 1024);
    ClientSide& call = client.Call();
    EXPECT_TRUE(call.WriteLast(message));
    EXPECT_EQ(call.Read(), message);
    EXPECT_TRUE(call.Finish().ok());
  });
}

TEST_P(TransparencyTest, CompressedMessagesKeepTheirContent) {
  grpc::ChannelArguments arguments = testing::RoomyChannel();
  arguments.SetCompressionAlgorithm(GRPC_COMPRESS_GZIP);
  ExpectSame(
      [](ServerSide& call) {
        call.context().set_compression_algorithm(GRPC_COMPRESS_DEFLATE);
        EchoAll(call);
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        const std::string text(100000, 'a');
        EXPECT_TRUE(call.Write(text));
        EXPECT_EQ(call.Read(), text);
        EXPECT_TRUE(
            call.Write("plain", grpc::WriteOptions().set_no_compression()));
        EXPECT_EQ(call.Read(), "plain");
        call.HalfClose();
        EXPECT_TRUE(call.Finish().ok());
      },
      arguments);
}

// ---- Metadata ----

TEST_P(TransparencyTest, MetadataOfAllSortsEachWay) {
  const std::string binary("\0\xff\x80 binary", 10);
  const std::string seen = ExpectSame(
      [&](ServerSide& call) {
        call.context().AddInitialMetadata("x-early", "1");
        call.context().AddInitialMetadata("x-early", "2");
        call.context().AddInitialMetadata("x-early-bin", binary);
        call.context().AddTrailingMetadata("x-late", "b");
        call.context().AddTrailingMetadata("x-late", "a");
        call.context().AddTrailingMetadata("x-late-bin", binary);
        call.context().AddTrailingMetadata("x-empty", "");
        Echo(call);
      },
      [&](Client& client) {
        ClientSide& call = client.Call("/a.b/C");
        call.WriteLast("request");
        EXPECT_TRUE(call.ReadHeaders());
        call.Read();
        EXPECT_TRUE(call.Finish().ok());

        ClientSide& rich = client.Prepare();
        grpc::ClientContext& context = rich.context();
        context.AddMetadata("x-many", "1");
        context.AddMetadata("x-many", "3");
        context.AddMetadata("x-many", "2, 4");
        context.AddMetadata("x-empty", "");
        context.AddMetadata("x-some-bin", binary);
        context.AddMetadata("x-empty-bin", "");
        context.AddMetadata("authorization", "Bearer secret");
        context.AddMetadata("cookie", "a=b; c=d");
        context.AddMetadata("x-request-id", "request");
        context.AddMetadata("baggage", "tenant=a,b=c;p=q , d = e");
        context.AddMetadata(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        context.AddMetadata("tracestate", "rojo=00f067aa0ba902b7,congo=t61");
        std::string reply;
        EXPECT_TRUE(rich.Unary("request", &reply).ok());
      });
  EXPECT_THAT(seen, HasSubstr("  x-many: \"1\"\n  x-many: \"3\"\n"));
  EXPECT_THAT(seen, HasSubstr("  x-early: \"1\"\n  x-early: \"2\"\n"));
  EXPECT_THAT(seen, HasSubstr("  authorization: \"Bearer secret\"\n"));
  EXPECT_THAT(seen, HasSubstr("  tracestate: \"rojo=00f067aa0ba902b7,"));
  EXPECT_THAT(seen, HasSubstr("  baggage: \"tenant=a,b=c;p=q , d = e\"\n"));
}

// gRPC's usual limit is 8 KiB. The second sidecar adds an id of some 60 bytes.
TEST_P(TransparencyTest, MetadataUpToSixtyKibibytes) {
  ExpectSame(
      [](ServerSide& call) {
        const auto& metadata = call.context().client_metadata();
        const auto large = metadata.find("x-large");
        const size_t size = large == metadata.end() ? 0 : large->second.size();
        call.context().AddInitialMetadata("x-early", std::string(size, 'e'));
        call.context().AddTrailingMetadata("x-late", std::string(size, 'l'));
        Echo(call);
      },
      [](Client& client) {
        for (const size_t kibibytes : {1, 7, 9, 30, 60}) {
          ClientSide& call = client.Prepare();
          call.context().AddMetadata("x-large",
                                     std::string(kibibytes * 1024, 'x'));
          std::string reply;
          EXPECT_TRUE(call.Unary("request", &reply).ok()) << kibibytes;
        }
      });
}

TEST_P(TransparencyTest, AnAuthorityOfItsOwn) {
  const std::string seen = ExpectSame(Echo, [](Client& client) {
    ClientSide& call = client.Prepare();
    call.context().set_authority("shop.example:443");
    std::string reply;
    EXPECT_TRUE(call.Unary("request", &reply).ok());
  });
  EXPECT_THAT(seen, HasSubstr(" at shop.example:443, "));
}

TEST_P(TransparencyTest, ACallThatWaitsForReady) {
  ExpectSame(Echo, [](Client& client) {
    ClientSide& call = client.Prepare();
    call.context().set_wait_for_ready(true);
    std::string reply;
    EXPECT_TRUE(call.Unary("request", &reply).ok());
  });
}

TEST_P(TransparencyTest, CorkedHeaders) {
  ExpectSame(Echo, [](Client& client) {
    ClientSide& call = client.Prepare();
    call.StartCorked();
    call.WriteLast("request");
    EXPECT_EQ(call.Read(), "reply to request");
    EXPECT_TRUE(call.Finish().ok());
  });
}

// ---- Statuses ----

TEST_P(TransparencyTest, EachCodeWithItsWordsAndDetails) {
  const std::string seen = ExpectSame(
      [](ServerSide& call) {
        call.Read();
        const auto& metadata = call.context().client_metadata();
        const int code = std::atoi(metadata.find("x-code")->second.data());
        call.context().AddTrailingMetadata("x-late", "late");
        call.Finish(grpc::Status(
            static_cast<grpc::StatusCode>(code),
            absl::StrCat("100 % of käse\n\tis \xe2\x82\xac 5 %41 \"", code),
            std::string("\x08\x05\x12\0details", 11)));
      },
      [](Client& client) {
        for (int code = 1; code <= 16; ++code) {
          ClientSide& call = client.Prepare();
          call.context().AddMetadata("x-code", absl::StrCat(code));
          call.Start();
          call.HalfClose();
          EXPECT_FALSE(call.Read());
          EXPECT_EQ(call.Finish().error_code(), code);
        }
      });
  EXPECT_THAT(seen, HasSubstr("status: 16 \"100 % of k\\303\\244se\\n\\tis "));
  EXPECT_THAT(seen, HasSubstr("\\010\\005\\022\\000details"));
}

TEST_P(TransparencyTest, DetailsComeOnce) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.Finish(grpc::Status(grpc::StatusCode::ABORTED, "", "details"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.HalfClose();
        call.Finish();
        EXPECT_EQ(call.context().GetServerTrailingMetadata().count(
                      "grpc-status-details-bin"),
                  1u);
      });
}

TEST_P(TransparencyTest, MessagesThenAnError) {
  ExpectSame(
      [](ServerSide& call) {
        call.Read();
        call.context().AddInitialMetadata("x-early", "early");
        call.Write("1");
        call.Write("2");
        call.context().AddTrailingMetadata("x-late", "late");
        call.Finish(grpc::Status(grpc::StatusCode::DATA_LOSS, "lost"));
      },
      [](Client& client) {
        ClientSide& call = client.Call();
        call.HalfClose();
        while (call.Read()) {
        }
        EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::DATA_LOSS);
      });
}

// A server of one service, without a generic one.
TEST_P(TransparencyTest, MethodsAndServicesThatDontExist) {
  tether::testing::Probe::Service service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const auto app = tether::testing::ListenOnLoopback(builder);
  const std::string seen = ExpectSameAt(app.address, [](Client& client) {
    for (const std::string method :
         {"/tether.testing.Probe/Unary", "/tether.testing.Probe/No",
          "/no.Such/Method", "/no", "/a/b/c/d"}) {
      std::string reply;
      EXPECT_EQ(client.Prepare(method).Unary("", &reply).error_code(),
                grpc::StatusCode::UNIMPLEMENTED)
          << method;
    }
  });
  EXPECT_THAT(seen, HasSubstr("status: 12"));
}

}  // namespace
}  // namespace tether::sidecar
