// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "observability/tetherctl/testing/sample.h"
#include "tether/v1/inspector.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::kTrace;
using ::testing::Not;
using testing::Parse;
using testing::Sample;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::vector<std::string> Text(View& view, int width = 80, int height = 24) {
  std::vector<std::string> lines;
  for (const Line& line : view.Render(width, height)) {
    lines.push_back(TextOf(line));
    EXPECT_LE(lines.back().size(), static_cast<size_t>(width));
  }
  EXPECT_EQ(lines.size(), static_cast<size_t>(height));
  return lines;
}

std::string Joined(View& view, int width = 80, int height = 24) {
  std::string text;
  for (const std::string& line : Text(view, width, height)) {
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

void Type(View& view, const std::string& text) {
  for (const char c : text) EXPECT_TRUE(view.OnKey(c));
}

class ViewTest : public ::testing::Test {
 protected:
  ViewTest() : view_(v1::ListRequest(), Order(), Glyphs()) {
    view_.Update(Sample());
  }

  // A process with so many requests, /S/M0 with the least time left.
  static Snapshots Many(int requests) {
    Snapshots snapshots;
    v1::Snapshot& snapshot = *snapshots.add_processes()->mutable_snapshot();
    snapshot.set_requests_in_flight(requests);
    for (int i = 0; i < requests; ++i) {
      v1::InFlightRequest& request = *snapshot.add_requests();
      request.set_method(absl::StrCat("/S/M", i));
      request.set_time_left_us(1000 * (i + 1));
    }
    return snapshots;
  }

  std::string SelectedLine() {
    for (const Line& line : view_.Render(80, 24)) {
      if (!line.empty() && line.front().style == Style::kSelected) {
        return TextOf(line);
      }
    }
    return "";
  }

  // The method of the selected row.
  std::string Selected() {
    const std::string text = SelectedLine();
    const size_t method = text.find("S/M");
    return method == std::string::npos
               ? text
               : text.substr(method, text.find(' ', method) - method);
  }

  std::string SelectedTimeLeft() {
    const std::string text = SelectedLine();
    const size_t begin = text.find_first_not_of(' ');
    return text.substr(begin, text.find(' ', begin) - begin);
  }

  View view_;
};

TEST_F(ViewTest, FillsAScreenOf80Columns) {
  EXPECT_EQ(Joined(view_, 80, 18),
            R"(5 requests, 6 calls in 4 processes, by time left
10.0.0.4:9090  no answer within 2s
  LEFT         AGE STATE       METHOD               PROCESS    WAITS FOR
-3.20s ....  12.3s caller left Orders..rtEverything orders
  45ms #...  256ms running     Inventory/GetStock   inventory
  47ms ####  2.5ms calling     Audit/Write          orders     audit:443
 700ms ###.  258ms waiting     Orders/GetOrder      orders     inventory:9090
 740ms ###.  260ms waiting     Storef..GetOrderPage storefront 10.0.0.2:9090
  none       2h05m waiting     Orders/TrackCourier  orders     3: rout...svc:443






trace 00000000000000000000000000000005
no deadline, async, not observed
q quit  / filter  p pause  sort: t left  a age  m method  s process  r reverse
)");
}

TEST_F(ViewTest, AnyTerminalSizeWorks) {
  for (int width = 1; width < 200; width += 7) {
    for (int height = 1; height < 40; ++height) {
      const std::vector<Line> lines = view_.Render(width, height);
      EXPECT_LE(lines.size(), static_cast<size_t>(height));
    }
  }
}

TEST_F(ViewTest, QuitsWithQ) {
  EXPECT_TRUE(view_.OnKey('x'));
  EXPECT_FALSE(view_.OnKey('q'));
}

TEST_F(ViewTest, DetailsAreThoseOfTheSelectedRow) {
  for (int i = 0; i < 4; ++i) view_.OnKey(kKeyDown);
  std::vector<std::string> lines = Text(view_, 160);
  EXPECT_EQ(lines[21], absl::StrCat("trace ", kTrace,
                                    ", from ipv4:10.0.0.9:51234, id demo-1"));
  EXPECT_EQ(lines[22],
            "the caller's deadline, sync, observed, Orders/GetOrder at "
            "10.0.0.2:9090 for 259ms");
  view_.OnKey(kKeyEnd);
  lines = Text(view_, 160);
  EXPECT_EQ(lines[22],
            "no deadline, callback, not observed, Router/Stream[west] at "
            "dns:///router.maps.svc:443 for 90ms and 2 more");
  view_.OnKey(kKeyHome);
  view_.OnKey(kKeyDown);
  view_.OnKey(kKeyDown);
  EXPECT_EQ(Text(view_)[22],
            "a call that belongs to no request: Audit/Write at "
            "dns:///audit:443 for 2.5ms");
}

TEST_F(ViewTest, CallsThatAreNotListedAreCountedInTheDetails) {
  Snapshots snapshots = Sample();
  v1::InFlightRequest& request =
      *snapshots.mutable_processes(1)->mutable_snapshot()->mutable_requests(2);
  request.set_waits_for_total(5000);
  view_.Update(snapshots);
  view_.OnKey(kKeyEnd);
  EXPECT_THAT(Text(view_, 160)[22], EndsWith(" for 90ms and 4999 more"));
  request.clear_waits_for();
  view_.Update(snapshots);
  EXPECT_THAT(Text(view_, 160)[22], EndsWith(", waits for 5000 calls"));
}

TEST_F(ViewTest, EachOwnerOfADeadlineHasAWord) {
  const auto words = [](int owner) {
    Snapshots snapshots = Many(1);
    snapshots.mutable_processes(0)
        ->mutable_snapshot()
        ->mutable_requests(0)
        ->set_deadline_owner(static_cast<v1::DeadlineOwner>(owner));
    View view{v1::ListRequest(), Order(), Glyphs()};
    view.Update(snapshots);
    const std::string line = Text(view)[22];
    return line.substr(0, line.find(','));
  };
  EXPECT_EQ(words(v1::DEADLINE_OWNER_BASE_CONTEXT),
            "the server's base context");
  EXPECT_EQ(words(77), "another deadline");
  std::set<std::string> all;
  const auto& owners = *v1::DeadlineOwner_descriptor();
  for (int i = 0; i < owners.value_count(); ++i) {
    all.insert(words(owners.value(i)->number()));
  }
  EXPECT_THAT(all, SizeIs(owners.value_count()));
  EXPECT_THAT(all, Not(Contains("another deadline")));
}

TEST_F(ViewTest, KeysSort) {
  view_.OnKey('m');
  EXPECT_THAT(Text(view_)[0], HasSubstr("by method"));
  EXPECT_THAT(Text(view_)[3], HasSubstr("Audit/Write"));
  view_.OnKey('r');
  EXPECT_THAT(Text(view_)[0], HasSubstr("by method reversed"));
  EXPECT_THAT(Text(view_)[8], HasSubstr("Audit/Write"));
  view_.OnKey('a');
  EXPECT_THAT(Text(view_)[3], HasSubstr("TrackCourier"));
  view_.OnKey('s');
  EXPECT_THAT(Text(view_)[3], HasSubstr("inventory"));
  view_.OnKey('t');
  EXPECT_THAT(Text(view_)[3], HasSubstr("-3.20s"));
}

TEST_F(ViewTest, AFilterIsTypedAppliedAndDropped) {
  Type(view_, "/Getq");
  EXPECT_THAT(Text(view_)[23], StartsWith("method or trace: Getq_"));
  EXPECT_THAT(Joined(view_), HasSubstr("Nothing matches the filter."));
  view_.OnKey(kKeyBackspace);
  EXPECT_THAT(Joined(view_),
              AllOf(HasSubstr("GetStock"), Not(HasSubstr("Audit"))));
  EXPECT_EQ(view_.list().method_contains(), "");  // not applied yet
  view_.OnKey(kKeyEnter);
  EXPECT_EQ(view_.list().method_contains(), "Get");
  EXPECT_THAT(Text(view_)[0], HasSubstr("filter Get"));

  Type(view_, "/");
  view_.OnKey('U' - '@');
  Type(view_, "Audit");
  EXPECT_THAT(Joined(view_), Not(HasSubstr("GetStock")));
  view_.OnKey(kKeyEscape);  // as before
  EXPECT_THAT(Joined(view_),
              AllOf(HasSubstr("GetStock"), Not(HasSubstr("Audit"))));
  view_.OnKey(kKeyEscape);  // all
  EXPECT_THAT(Joined(view_), HasSubstr("Audit"));
  EXPECT_EQ(view_.list().method_contains(), "");
}

TEST_F(ViewTest, ATraceIsAFilterToo) {
  Type(view_, absl::StrCat("/", kTrace));
  view_.OnKey(kKeyEnter);
  EXPECT_EQ(view_.list().trace_id(), kTrace);
  EXPECT_EQ(view_.list().method_contains(), "");
  EXPECT_THAT(Joined(view_),
              AllOf(HasSubstr("GetStock"), Not(HasSubstr("Audit"))));
  // Part of one: the server can't filter by that.
  view_.OnKey(kKeyEscape);
  Type(view_, "/4bf92f");
  view_.OnKey(kKeyEnter);
  EXPECT_EQ(view_.list().SerializeAsString(), "");
  EXPECT_THAT(Joined(view_),
              AllOf(HasSubstr("GetStock"), Not(HasSubstr("Audit"))));
}

TEST_F(ViewTest, TheCommandLinesFiltersStay) {
  v1::ListRequest list;
  list.set_method_contains("Orders");
  list.set_max_entries(7);
  View view(list, Order(), Glyphs());
  view.Update(Sample());
  EXPECT_THAT(Text(view)[0], HasSubstr("method Orders"));
  Type(view, "/Get");
  view.OnKey(kKeyEnter);
  EXPECT_EQ(view.list().method_contains(), "Orders");
  EXPECT_EQ(view.list().max_entries(), 7);
}

TEST_F(ViewTest, APauseHoldsTheScreen) {
  view_.OnKey('p');
  view_.Update(Many(2));
  EXPECT_THAT(Text(view_)[0],
              AllOf(HasSubstr("5 requests"), HasSubstr("PAUSED")));
  EXPECT_THAT(Joined(view_), Not(HasSubstr("S/M0")));
  view_.OnKey(' ');
  EXPECT_THAT(Text(view_)[0],
              AllOf(HasSubstr("2 requests"), Not(HasSubstr("PAUSED"))));
  EXPECT_THAT(Joined(view_), HasSubstr("S/M0"));
}

TEST_F(ViewTest, ScrollsThroughRowsThatDoNotFit) {
  view_.Update(Many(100));
  EXPECT_EQ(Selected(), "S/M0");
  EXPECT_THAT(Text(view_)[0], HasSubstr("rows 1-19 of 100"));
  view_.OnKey(kKeyUp);
  EXPECT_EQ(Selected(), "S/M0");
  view_.OnKey(kKeyDown);
  EXPECT_EQ(Selected(), "S/M1");
  view_.OnKey(kKeyPageDown);
  EXPECT_EQ(Selected(), "S/M20");
  EXPECT_THAT(Text(view_)[0], HasSubstr("rows 3-21 of 100"));
  view_.OnKey(kKeyEnd);
  EXPECT_EQ(Selected(), "S/M99");
  EXPECT_THAT(Text(view_)[0], HasSubstr("rows 82-100 of 100"));
  view_.OnKey(kKeyPageUp);
  EXPECT_EQ(Selected(), "S/M80");
  view_.OnKey(kKeyHome);
  EXPECT_EQ(Selected(), "S/M0");
  // A list that becomes short keeps a row selected.
  view_.OnKey(kKeyEnd);
  view_.Update(Many(3));
  EXPECT_EQ(Selected(), "S/M2");
  view_.Update(Snapshots());
  EXPECT_EQ(Selected(), "");
  EXPECT_THAT(Joined(view_), HasSubstr("Nothing is in flight."));
}

TEST_F(ViewTest, TheSelectionFollowsItsRequest) {
  Snapshots snapshots = Many(10);
  v1::Snapshot& snapshot = *snapshots.mutable_processes(0)->mutable_snapshot();
  const auto set_left = [&](int request, int64_t left_us) {
    snapshot.mutable_requests(request)->set_time_left_us(left_us);
    view_.Update(snapshots);
  };
  view_.Update(snapshots);
  for (int i = 0; i < 4; ++i) view_.OnKey(kKeyDown);
  EXPECT_EQ(Selected(), "S/M4");
  set_left(9, 1);
  EXPECT_EQ(Selected(), "S/M4");
  set_left(4, 1'000'000);  // to the end
  EXPECT_EQ(Selected(), "S/M4");
  view_.OnKey('r');
  EXPECT_EQ(Selected(), "S/M4");
  view_.OnKey('r');
  // Through the first row, too.
  set_left(4, 0);
  EXPECT_EQ(Selected(), "S/M4");
  set_left(4, 3500);
  EXPECT_EQ(Selected(), "S/M4");
  // A process that is listed first, and has the same name.
  ProcessSnapshot other = snapshots.processes(0);
  other.set_address("other:1");
  *snapshots.add_processes() = other;
  snapshots.mutable_processes()->SwapElements(0, 1);
  view_.Update(snapshots);
  view_.OnKey(kKeyDown);
  view_.OnKey(kKeyUp);
  view_.OnKey('s');
  EXPECT_EQ(Selected(), "S/M4");
}

TEST_F(ViewTest, TheNearestRowIsSelectedIfTheRequestIsGone) {
  Snapshots snapshots = Many(10);
  auto& requests =
      *snapshots.mutable_processes(0)->mutable_snapshot()->mutable_requests();
  view_.Update(snapshots);
  for (int i = 0; i < 4; ++i) view_.OnKey(kKeyDown);
  requests.DeleteSubrange(4, 1);
  view_.Update(snapshots);
  EXPECT_EQ(Selected(), "S/M5");
  // That one is followed now.
  requests.DeleteSubrange(0, 2);
  view_.Update(snapshots);
  EXPECT_EQ(Selected(), "S/M5");
  requests.DeleteSubrange(2, requests.size() - 2);
  view_.Update(snapshots);
  EXPECT_EQ(Selected(), "S/M3");
}

TEST_F(ViewTest, RequestsThatNothingTellsApartKeepTheSelectionNear) {
  Snapshots snapshots = Many(10);
  for (auto& request : *snapshots.mutable_processes(0)
                            ->mutable_snapshot()
                            ->mutable_requests()) {
    request.set_method("/S/M");
  }
  view_.Update(snapshots);
  for (int i = 0; i < 4; ++i) view_.OnKey(kKeyDown);
  view_.Update(snapshots);
  EXPECT_EQ(SelectedTimeLeft(), "5.0ms");
}

TEST_F(ViewTest, TheFirstRowIsNotFollowed) {
  Snapshots snapshots = Many(10);
  view_.Update(snapshots);
  view_.OnKey(kKeyDown);
  view_.OnKey(kKeyUp);
  EXPECT_EQ(Selected(), "S/M0");
  snapshots.mutable_processes(0)
      ->mutable_snapshot()
      ->mutable_requests(7)
      ->set_time_left_us(1);
  view_.Update(snapshots);
  EXPECT_EQ(Selected(), "S/M7");
}

TEST_F(ViewTest, ProcessesWithoutAnAnswerLeaveRoomForOthers) {
  Snapshots snapshots = Sample();
  for (int i = 0; i < 50; ++i) {
    ProcessSnapshot& process = *snapshots.add_processes();
    process.set_address(absl::StrCat("10.1.0.", i, ":1"));
    if (i % 2 == 0) process.set_error("no connection: Connection refused");
  }
  view_.Update(snapshots);
  const std::string text = Joined(view_);
  EXPECT_THAT(text, HasSubstr("10.1.0.0:1  no connection: Connection refused"));
  EXPECT_THAT(text, HasSubstr("10.1.0.1:1  asked"));
  EXPECT_THAT(text, HasSubstr("and 45 more processes without an answer"));
  EXPECT_THAT(text, HasSubstr("GetOrder"));
}

}  // namespace
}  // namespace tether::ctl
