#include "tether/propagation/composite.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tether/context.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

constexpr Key<std::string> kTrail{"trail"};

// Appends its name to a value and to a header.
class Appender : public Propagator {
 public:
  explicit Appender(std::string name, int64_t dropped = 0)
      : name_(std::move(name)), dropped_(dropped) {}

  Context Extract(const Carrier&, const Context& ctx) const override {
    const std::string* trail = ctx.Value(kTrail);
    return WithValue(ctx, kTrail, (trail ? *trail : "") + name_);
  }
  void Inject(const Context&, Carrier& carrier) const override {
    const std::string before(carrier.Get("trail").value_or(""));
    carrier.Set("trail", before + name_);
  }
  std::vector<std::string_view> Fields() const override {
    return {"trail", name_};
  }
  int64_t Dropped() const override { return dropped_; }

 private:
  const std::string name_;
  const int64_t dropped_;
};

class Thrower : public Propagator {
 public:
  Context Extract(const Carrier&, const Context&) const override {
    throw std::runtime_error("extract");
  }
  void Inject(const Context&, Carrier&) const override { throw 42; }
  std::vector<std::string_view> Fields() const override { return {}; }
  int64_t Dropped() const override { return 0; }
};

template <typename... Parts>
CompositePropagator Make(Parts... parts) {
  return CompositePropagator(
      std::vector<std::shared_ptr<const Propagator>>{std::move(parts)...});
}

TEST(CompositePropagatorTest, RunsItsPartsInOrder) {
  const CompositePropagator all =
      Make(std::make_shared<Appender>("a"), std::make_shared<Appender>("b"),
           std::make_shared<Appender>("c"));
  const Context ctx = all.Extract(MapCarrier(), Background());
  EXPECT_EQ(*ctx.Value(kTrail), "abc");
  MapCarrier carrier;
  all.Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("trail"), "abc");
}

TEST(CompositePropagatorTest, ContainsAPartThatThrowsAtAnyQuestion) {
  class Evasive final : public Thrower {
    size_t MaxInjectBytes(const Context&) const override { throw 43; }
  };
  const CompositePropagator all =
      Make(std::make_shared<Appender>("a"), std::make_shared<Evasive>());
  EXPECT_NO_THROW(all.MaxInjectBytes(Background()));
  MapCarrier carrier;
  all.Inject(Background(), carrier);
  EXPECT_EQ(carrier.Get("trail"), "a");
}

TEST(CompositePropagatorTest, CatchesCountsAndSkipsAPartThatThrows) {
  const CompositePropagator all =
      Make(std::make_shared<Appender>("a"), std::make_shared<Thrower>(),
           std::make_shared<Appender>("b"));
  const Context ctx = all.Extract(MapCarrier(), Background());
  EXPECT_EQ(*ctx.Value(kTrail), "ab");
  EXPECT_EQ(all.Dropped(), 1);
  MapCarrier carrier;
  all.Inject(ctx, carrier);
  EXPECT_EQ(carrier.Get("trail"), "ab");
  EXPECT_EQ(all.Dropped(), 2);
}

TEST(CompositePropagatorTest, SumsUpDrops) {
  const CompositePropagator all = Make(std::make_shared<Appender>("a", 3),
                                       std::make_shared<Appender>("b", 4));
  EXPECT_EQ(all.Dropped(), 7);
}

TEST(CompositePropagatorTest, NamesEachFieldOnce) {
  const CompositePropagator all =
      Make(std::make_shared<Appender>("a"), std::make_shared<Appender>("b"));
  EXPECT_EQ(all.Fields(), (std::vector<std::string_view>{"trail", "a", "b"}));
}

TEST(CompositePropagatorTest, LeavesOutNullParts) {
  const CompositePropagator all = Make(std::shared_ptr<const Propagator>(),
                                       std::make_shared<Appender>("a"));
  EXPECT_EQ(*all.Extract(MapCarrier(), Background()).Value(kTrail), "a");
}

TEST(CompositePropagatorTest, WithoutPartsDoesNothing) {
  const CompositePropagator none({});
  EXPECT_EQ(none.Extract(MapCarrier(), Background()), Background());
  MapCarrier carrier;
  none.Inject(Background(), carrier);
  EXPECT_TRUE(carrier.map().empty());
  EXPECT_TRUE(none.Fields().empty());
  EXPECT_EQ(none.Dropped(), 0);
}

TEST(CompositePropagatorTest, CarriesTraceAndRequestIdTogether) {
  const CompositePropagator all =
      Make(std::make_shared<TraceContextPropagator>(),
           std::make_shared<RequestIdPropagator>());
  const Context sent = WithRequestId(WithTrace(Background(), NewTrace()), "r1");
  MapCarrier carrier;
  all.Inject(sent, carrier);
  const Context received = all.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(received)->trace_id, TraceOf(sent)->trace_id);
  EXPECT_EQ(*RequestIdOf(received), "r1");

  // One bad value costs only itself.
  carrier.Set("traceparent", "garbage");
  const Context partly = all.Extract(carrier, Background());
  EXPECT_EQ(TraceOf(partly), nullptr);
  EXPECT_EQ(*RequestIdOf(partly), "r1");
  EXPECT_EQ(all.Dropped(), 1);
}

}  // namespace
}  // namespace tether
