// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/proto_codec.h"

#include <string>
#include <string_view>

#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/duration.pb.h"
#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/header.h"

namespace tether {
namespace {

using google::protobuf::Duration;
using google::protobuf::UninterpretedOption;

inline constexpr Key<Duration> kPause{"pause"};
inline constexpr Key<UninterpretedOption::NamePart> kPart{"part"};

TEST(ProtoCodecTest, CarriesAMessageInABinaryHeader) {
  const HeaderPropagator<Duration> propagator(kPause, "x-pause-bin",
                                              ProtoCodec<Duration>());
  Duration pause;
  pause.set_seconds(-5);
  pause.set_nanos(7);
  MapCarrier carrier;
  propagator.Inject(WithValue(Background(), kPause, pause), carrier);
  const Context ctx = propagator.Extract(carrier, Background());
  ASSERT_NE(ctx.Value(kPause), nullptr);
  EXPECT_EQ(ctx.Value(kPause)->seconds(), -5);
  EXPECT_EQ(ctx.Value(kPause)->nanos(), 7);
  EXPECT_EQ(propagator.Dropped(), 0);
}

TEST(ProtoCodecTest, CarriesAnEmptyMessage) {
  const HeaderPropagator<Duration> propagator(kPause, "x-pause-bin",
                                              ProtoCodec<Duration>());
  MapCarrier carrier;
  propagator.Inject(WithValue(Background(), kPause, Duration()), carrier);
  EXPECT_EQ(carrier.Get("x-pause-bin"), "");
  EXPECT_NE(propagator.Extract(carrier, Background()).Value(kPause), nullptr);
}

TEST(ProtoCodecTest, DropsWhatDoesNotParse) {
  const HeaderPropagator<Duration> propagator(kPause, "x-pause-bin",
                                              ProtoCodec<Duration>());
  for (const char* bad : {"\xff", "\x08", "\x0a\x7f"}) {
    MapCarrier carrier;
    carrier.Set("x-pause-bin", bad);
    EXPECT_EQ(propagator.Extract(carrier, Background()), Background());
  }
  EXPECT_EQ(propagator.Dropped(), 3);
}

TEST(ProtoCodecTest, DropsAMessageWithoutARequiredField) {
  using Part = UninterpretedOption::NamePart;  // has two
  const HeaderPropagator<Part> propagator(kPart, "x-part-bin",
                                          ProtoCodec<Part>());
  MapCarrier empty;
  empty.Set("x-part-bin", "");
  EXPECT_EQ(propagator.Extract(empty, Background()), Background());
  EXPECT_EQ(propagator.Dropped(), 1);

  Part part;
  part.set_name_part("a");
  MapCarrier out;
  propagator.Inject(WithValue(Background(), kPart, part), out);
  EXPECT_TRUE(out.map().empty());
  EXPECT_EQ(propagator.Dropped(), 2);

  part.set_is_extension(false);
  propagator.Inject(WithValue(Background(), kPart, part), out);
  EXPECT_EQ(out.map().size(), 1u);
  EXPECT_EQ(propagator.Dropped(), 2);
}

TEST(ProtoCodecTest, KeepsFieldsThatItDoesNotKnow) {
  const HeaderPropagator<Duration> propagator(kPause, "x-pause-bin",
                                              ProtoCodec<Duration>());
  const std::string bytes("\x08\x01\x98\x06\x2a", 5);  // field 99
  MapCarrier in;
  in.Set("x-pause-bin", bytes);
  MapCarrier out;
  propagator.Inject(propagator.Extract(in, Background()), out);
  EXPECT_EQ(out.Get("x-pause-bin"), bytes);
}

TEST(ProtoCodecTest, KeepsToTheLimit) {
  const HeaderPropagator<Duration> propagator(kPause, "x-pause-bin",
                                              ProtoCodec<Duration>(), {2});
  Duration pause;
  pause.set_seconds(1);
  MapCarrier out;
  propagator.Inject(WithValue(Background(), kPause, pause), out);
  EXPECT_EQ(out.map().size(), 1u);
  pause.set_seconds(1000);
  MapCarrier none;
  propagator.Inject(WithValue(Background(), kPause, pause), none);
  EXPECT_TRUE(none.map().empty());
  EXPECT_EQ(propagator.Dropped(), 1);
}

}  // namespace
}  // namespace tether
