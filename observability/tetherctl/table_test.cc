// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "observability/tetherctl/clean.h"
#include "observability/tetherctl/testing/sample.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kTrace;
using testing::Parse;
using testing::Sample;

constexpr int kNever = 1000;

std::vector<std::string> Table(const Snapshots& snapshots, int width,
                               int trace_from = kNever) {
  const std::vector<Row> rows = MakeRows(snapshots, "", Order());
  const Columns columns = ColumnsFor(rows, width, trace_from);
  std::vector<std::string> lines = {TextOf(HeadingLine(columns))};
  for (const Row& row : rows) {
    lines.push_back(TextOf(RowLine(row, columns, Glyphs())));
    EXPECT_LE(lines.back().size(), static_cast<size_t>(width));
  }
  return lines;
}

std::vector<std::string> Methods(const Snapshots& snapshots,
                                 std::string_view filter, Order order) {
  std::vector<std::string> methods;
  for (const Row& row : MakeRows(snapshots, filter, order)) {
    methods.push_back(row.method().substr(row.method().rfind('/') + 1));
  }
  return methods;
}

TEST(TableTest, FitsInto80Columns) {
  // clang-format off
  EXPECT_THAT(Table(Sample(), 80), ElementsAre(
      "  LEFT         AGE STATE       METHOD               PROCESS    WAITS FOR",
      "-3.20s ....  12.3s caller left Orders..rtEverything orders",
      "  45ms #...  256ms running     Inventory/GetStock   inventory",
      "  47ms ####  2.5ms calling     Audit/Write          orders     audit:443",
      " 700ms ###.  258ms waiting     Orders/GetOrder      orders     inventory:9090",
      " 740ms ###.  260ms waiting     Storef..GetOrderPage storefront 10.0.0.2:9090",
      "  none       2h05m waiting     Orders/TrackCourier  orders     3: rout...svc:443"));
  // clang-format on
}

TEST(TableTest, AWideTerminalShowsMore) {
  // clang-format off
  EXPECT_THAT(Table(Sample(), 170, 150), ElementsAre(
      "  LEFT               AGE STATE             METHOD                          PROCESS    WAITS FOR                               TRACE",
      "-3.20s ..........  12.3s caller left 3.20s shop.v1.Orders/ExportEverything orders                                             00000000000000000000000000000005",
      "  45ms #.........  256ms running           shop.v1.Inventory/GetStock      inventory                                          4bf92f3577b34da6a3ce929d0e0e4736",
      "  47ms ##########  2.5ms calling           shop.v1.Audit/Write             orders     audit:443",
      " 700ms #######...  258ms waiting           shop.v1.Orders/GetOrder         orders     Inventory/GetStock at inventory:9090    4bf92f3577b34da6a3ce929d0e0e4736",
      " 740ms #######...  260ms waiting           shop.v1.Storefront/GetOrderPage storefront Orders/GetOrder at 10.0.0.2:9090        4bf92f3577b34da6a3ce929d0e0e4736",
      "  none             2h05m waiting           shop.v1.Orders/TrackCourier     orders     3: Router/Stream at router.maps.svc:443 00000000000000000000000000000006"));
  // clang-format on
}

TEST(TableTest, AnyWidthIsKept) {
  const Snapshots snapshots = Sample();
  for (int width = 80; width < 250; ++width) Table(snapshots, width, 116);
}

TEST(TableTest, RowsAreSorted) {
  const Snapshots snapshots = Sample();
  EXPECT_THAT(Methods(snapshots, "", {SortKey::kTimeLeft, false}),
              ElementsAre("ExportEverything", "GetStock", "Write", "GetOrder",
                          "GetOrderPage", "TrackCourier"));
  EXPECT_THAT(Methods(snapshots, "", {SortKey::kTimeLeft, true}),
              ElementsAre("TrackCourier", "GetOrderPage", "GetOrder", "Write",
                          "GetStock", "ExportEverything"));
  EXPECT_THAT(Methods(snapshots, "", {SortKey::kAge, false}),
              ElementsAre("TrackCourier", "ExportEverything", "GetOrderPage",
                          "GetOrder", "GetStock", "Write"));
  EXPECT_THAT(Methods(snapshots, "", {SortKey::kMethod, false}),
              ElementsAre("Write", "GetStock", "ExportEverything", "GetOrder",
                          "TrackCourier", "GetOrderPage"));
  EXPECT_THAT(Methods(snapshots, "", {SortKey::kProcess, false}),
              ElementsAre("GetStock", "ExportEverything", "Write", "GetOrder",
                          "TrackCourier", "GetOrderPage"));
}

TEST(TableTest, SortKeysHaveNames) {
  for (const SortKey key : {SortKey::kTimeLeft, SortKey::kAge, SortKey::kMethod,
                            SortKey::kProcess}) {
    EXPECT_EQ(SortKeyNamed(NameOf(key)), key);
  }
  EXPECT_EQ(SortKeyNamed("x"), std::nullopt);
  EXPECT_EQ(SortKeyNamed(""), std::nullopt);
}

TEST(TableTest, AFilterMatchesMethodsAndTraces) {
  const Snapshots snapshots = Sample();
  EXPECT_THAT(Methods(snapshots, "GetOrder", {}),
              ElementsAre("GetOrder", "GetOrderPage"));
  EXPECT_THAT(Methods(snapshots, "4bf92", {}),
              ElementsAre("GetStock", "GetOrder", "GetOrderPage"));
  EXPECT_THAT(Methods(snapshots, std::string(kTrace) + "0", {}), IsEmpty());
}

TEST(TableTest, ProcessesOfTheSameNameHaveTheirAddress) {
  const auto snapshots = Parse<Snapshots>(R"(
      processes { address: "a:1" snapshot { process: "orders" } }
      processes { address: "a:2" snapshot { process: "orders" } }
      processes { address: "a:3" snapshot { process: "inventory" } }
      processes { address: "a:4" snapshot { } }
      processes { address: "a:5" error: "x" })");
  EXPECT_THAT(ProcessLabels(snapshots), ElementsAre("orders@a:1", "orders@a:2",
                                                    "inventory", "a:4", "a:5"));
}

TEST(TableTest, TheBarIsTheShareOfTheTimeThatIsLeft) {
  const auto bar = [](int64_t age, int64_t left) {
    Snapshots snapshots;
    v1::InFlightRequest& request =
        *snapshots.add_processes()->mutable_snapshot()->add_requests();
    request.set_age_us(age);
    request.set_time_left_us(left);
    Columns columns;
    return RowLine(MakeRows(snapshots, "", {}).at(0), columns,
                   {"\u2588", "\u2591"})[2]
        .text;
  };
  EXPECT_EQ(bar(0, 100), "████");
  EXPECT_EQ(bar(50, 50), "██░░");
  EXPECT_EQ(bar(1000, 1), "█░░░");
  EXPECT_EQ(bar(1000, 0), "░░░░");
  EXPECT_EQ(bar(1000, -5), "░░░░");
  EXPECT_EQ(bar(-5, 5), "████");
  EXPECT_EQ(bar(kMaxNumber, kMaxNumber), "██░░");
}

TEST(TableTest, ColorsTellHowUrgentItIs) {
  const Snapshots snapshots = Sample();
  std::vector<Style> styles;
  for (const Row& row : MakeRows(snapshots, "", {})) {
    styles.push_back(RowLine(row, Columns(), Glyphs())[0].style);
  }
  EXPECT_THAT(styles, ElementsAre(Style::kOver, Style::kLittle, Style::kGood,
                                  Style::kGood, Style::kGood, Style::kDim));
}

TEST(TableTest, CallsThatAreNotListedCount) {
  const auto waits = [](const std::string& fields) {
    const auto snapshots = Parse<Snapshots>(
        "processes { snapshot { requests { " + fields + " } } }");
    const Row row = MakeRows(snapshots, "", {}).at(0);
    return StateText(row, 20) + ", " + std::to_string(WaitsCount(row)) + ", " +
           WaitsText(row, 40);
  };
  EXPECT_EQ(waits(""), "running, 0, ");
  EXPECT_EQ(waits("waits_for_total: -1"), "running, 0, ");
  EXPECT_EQ(waits("waits_for { target: 'x:1' }"), "waiting, 1, x:1");
  EXPECT_EQ(waits("waits_for { target: 'x:1' } waits_for_total: 1"),
            "waiting, 1, x:1");
  EXPECT_EQ(waits("waits_for { target: 'x:1' } waits_for_total: 500"),
            "waiting, 500, 500: x:1");
  EXPECT_EQ(waits("waits_for_total: 500"), "waiting, 500, 500 calls");
  EXPECT_EQ(waits("waits_for {} waits_for {} waits_for_total: 1"),
            "waiting, 2, 2: ");
}

TEST(TableTest, HostileSnapshotsKeepTheWidth) {
  Snapshots snapshots;
  ProcessSnapshot& process = *snapshots.add_processes();
  process.mutable_snapshot()->set_process(std::string(9999, 'p'));
  for (const int64_t number : {std::numeric_limits<int64_t>::min(),
                               std::numeric_limits<int64_t>::max()}) {
    v1::InFlightRequest& request = *process.mutable_snapshot()->add_requests();
    request.set_method(std::string(9999, '/'));
    request.set_trace_id(std::string(9999, 't'));
    request.set_age_us(number);
    request.set_time_left_us(number);
    request.set_ended_ago_us(number);
    request.set_waits_for_total(number);
    request.set_ended_by(static_cast<v1::EndReason>(77));
    for (int i = 0; i < 2000; ++i) {
      request.add_waits_for()->set_target("\x1b[31m://");
    }
  }
  CleanMessage(process);
  for (const int width : {80, 120, 200}) {
    for (const std::string& line : Table(snapshots, width, 116)) {
      EXPECT_EQ(line.find('\x1b'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace tether::ctl
