// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/commands.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "observability/tetherctl/testing/inspected.h"
#include "observability/tetherctl/testing/sample.h"
#include "tether/context.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Inspected;
using testing::kTrace;
using ::testing::Not;
using testing::Parse;
using testing::Sample;
using ::testing::StartsWith;

std::string ErrorOf(const std::vector<std::string>& words) {
  const auto command = ParseCommand(words);
  EXPECT_FALSE(command.ok());
  return std::string(command.status().message());
}

TEST(ParseCommandTest, CommandsHaveAddresses) {
  auto command = ParseCommand({"top", "a:1", "b:2", "a:1"});
  ASSERT_TRUE(command.ok());
  EXPECT_EQ(command->name, Command::Name::kTop);
  EXPECT_THAT(command->addresses, ElementsAre("a:1", "b:2"));
  command = ParseCommand(
      {"doctor", "dns:///orders:443", "unix:/run/orders", "[::1]:9090"});
  ASSERT_TRUE(command.ok());
  EXPECT_EQ(command->name, Command::Name::kDoctor);
  EXPECT_EQ(ParseCommand({"help", "whatever"})->name, Command::Name::kHelp);
}

TEST(ParseCommandTest, ATreeHasATrace) {
  const auto command =
      ParseCommand({"tree", "4BF92F3577B34DA6A3CE929D0E0E4736", "a:1"});
  ASSERT_TRUE(command.ok());
  EXPECT_EQ(command->name, Command::Name::kTree);
  EXPECT_EQ(command->trace_id, kTrace);
}

TEST(ParseCommandTest, MistakesAreToldClearly) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("a command is missing"));
  EXPECT_THAT(ErrorOf({"tops", "a:1"}), HasSubstr("unknown command 'tops'"));
  EXPECT_THAT(ErrorOf({"top"}), HasSubstr("HOST:PORT is missing"));
  EXPECT_THAT(ErrorOf({"doctor"}), HasSubstr("HOST:PORT is missing"));
  EXPECT_THAT(ErrorOf({"tree"}), HasSubstr("TRACE_ID is missing"));
  EXPECT_THAT(ErrorOf({"tree", kTrace}), HasSubstr("HOST:PORT is missing"));
  EXPECT_THAT(ErrorOf({"tree", "a:1", kTrace}),
              HasSubstr("'a:1' isn't a trace id: 32 hex digits"));
  EXPECT_THAT(ErrorOf({"tree", std::string(32, '0'), "a:1"}),
              HasSubstr("zeros"));
  for (const char* address : {"", "orders", "orders:", ":443", "orders:0",
                              "orders:65536", "orders:https", "orders:-1"}) {
    EXPECT_EQ(ErrorOf({"top", address}),
              absl::StrCat("'", address, "' isn't HOST:PORT"));
  }
  std::vector<std::string> many = {"top"};
  for (int i = 1; i <= 101; ++i) many.push_back(absl::StrCat("a:", i));
  EXPECT_THAT(ErrorOf(many), HasSubstr("more than 100"));
}

class CommandsTest : public tether::testing::GrpcLeakCheckedTest {
 protected:
  // Starts the three processes of the sample, with their calls' targets at the
  // addresses that they have got.
  CommandsTest() {
    Snapshots sample = Sample();
    for (int i = 2; i >= 0; --i) {
      v1::Snapshot& snapshot = *sample.mutable_processes(i)->mutable_snapshot();
      for (v1::InFlightRequest& request : *snapshot.mutable_requests()) {
        if (i == 2 || request.trace_id() != kTrace) continue;
        request.mutable_waits_for(0)->set_target(servers_.front()->address());
      }
      v1::PropagationHealth health;
      health.set_process(snapshot.process());
      if (i == 1) {
        health.add_findings()->set_severity(v1::Finding::SEVERITY_WARNING);
      }
      servers_.insert(servers_.begin(),
                      std::make_unique<Inspected>(snapshot, health));
      settings_.addresses.insert(settings_.addresses.begin(),
                                 servers_.front()->address());
    }
  }

  // "HOST 1" and so on instead of the addresses.
  std::string Named(std::string text) const {
    for (size_t i = 0; i < settings_.addresses.size(); ++i) {
      text = absl::StrReplaceAll(
          text, {{settings_.addresses[i], absl::StrCat("HOST ", i + 1)}});
    }
    return text;
  }

  Settings settings_;
  std::vector<std::unique_ptr<Inspected>> servers_;
  std::ostringstream out_;
};

TEST_F(CommandsTest, OncePrintsATable) {
  settings_.list.set_max_entries(2);
  settings_.order.key = SortKey::kMethod;
  EXPECT_EQ(RunOnce(Background(), settings_, 80, out_), 0);
  const std::string text = Named(out_.str());
  EXPECT_THAT(text, StartsWith("HOST 1: storefront, pid 11, 1 request, 1 call\n"
                               "HOST 2: orders, pid 12, 3 requests, 5 calls "
                               "(not all are listed)\n"
                               "HOST 3: inventory, pid 13, 1 request, 0 calls\n"
                               "\n"
                               "  LEFT         AGE STATE "));
  EXPECT_THAT(
      text, AllOf(HasSubstr("Inventory/GetStock"), HasSubstr("Orders/GetOrder"),
                  Not(HasSubstr("\x1b"))));
}

TEST_F(CommandsTest, OnceShowsTheOthersIfAProcessDoesNotAnswer) {
  settings_.addresses.insert(settings_.addresses.begin(), "127.0.0.1:1");
  EXPECT_EQ(RunOnce(Background(), settings_, 80, out_), 2);
  EXPECT_THAT(out_.str(), AllOf(StartsWith("127.0.0.1:1: no connection: "),
                                HasSubstr("Inventory/GetStock")));
}

TEST_F(CommandsTest, OnceHasJson) {
  settings_.json = true;
  settings_.addresses.push_back("127.0.0.1:1");
  EXPECT_EQ(RunOnce(Background(), settings_, 80, out_), 2);
  const std::string json = out_.str();
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  Snapshots snapshots;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(json, &snapshots).ok());
  ASSERT_EQ(snapshots.processes_size(), 4);
  EXPECT_EQ(snapshots.processes(0).address(), settings_.addresses[0]);
  EXPECT_EQ(snapshots.processes(1).snapshot().requests_size(), 3);
  EXPECT_THAT(snapshots.processes(3).error(), StartsWith("no connection: "));
  // Zeros are printed, but nothing that is absent.
  EXPECT_THAT(json, HasSubstr(R"("callsInFlight":"0")"));
  EXPECT_THAT(json, Not(HasSubstr(R"("error":"")")));
  EXPECT_FALSE(
      snapshots.processes(1).snapshot().requests(2).has_time_left_us());
}

TEST_F(CommandsTest, TreeShowsARequestInAllProcesses) {
  EXPECT_EQ(RunTree(Background(), settings_, kTrace, 80, out_), 0);
  const std::string text = out_.str();
  const size_t storefront = text.find("\nstorefront@");
  const size_t orders = text.find("\n  orders@");
  const size_t inventory = text.find("\n    inventory@");
  EXPECT_NE(inventory, std::string::npos) << text;
  EXPECT_LT(storefront, orders);
  EXPECT_LT(orders, inventory);
}

TEST_F(CommandsTest, TreeTellsWhatItDidNotFind) {
  EXPECT_EQ(RunTree(Background(), settings_, std::string(32, '1'), 80, out_),
            1);
  EXPECT_EQ(out_.str(),
            "Nothing of trace 11111111111111111111111111111111 is in "
            "flight.\n");
  out_.str("");
  settings_.addresses = {settings_.addresses[0], "127.0.0.1:1"};
  EXPECT_EQ(RunTree(Background(), settings_, kTrace, 80, out_), 2);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("not asked"),
                                HasSubstr("127.0.0.1:1: no connection: ")));
}

TEST_F(CommandsTest, DoctorTellsByItsExitCode) {
  EXPECT_EQ(RunDoctor(Background(), settings_, 80, out_), 1);
  EXPECT_THAT(out_.str(), HasSubstr("3 processes: 1 warning, 0 for"));
  settings_.json = true;
  settings_.addresses.erase(settings_.addresses.begin() + 1);
  out_.str("");
  EXPECT_EQ(RunDoctor(Background(), settings_, 80, out_), 0);
  Diagnoses diagnoses;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(out_.str(), &diagnoses).ok());
  EXPECT_EQ(diagnoses.processes(0).health().process(), "storefront");
}

TEST_F(CommandsTest, TlsNeedsAuthoritiesThatCanBeRead) {
  settings_.tls = true;
  settings_.ca_cert = "/nowhere";
  EXPECT_EQ(RunOnce(Background(), settings_, 80, out_), 2);
  EXPECT_THAT(std::string(MakeCredentials(settings_).status().message()),
              HasSubstr("/nowhere: No such file"));
  // These servers don't speak TLS.
  settings_.ca_cert.clear();
  EXPECT_EQ(RunOnce(Background(), settings_, 80, out_), 2);
  EXPECT_THAT(out_.str(), HasSubstr("no connection"));
}

}  // namespace
}  // namespace tether::ctl
