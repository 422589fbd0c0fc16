// SPDX-License-Identifier: Apache-2.0
//
// Tests what the flags of tether-sidecar configure, and that each mistake is
// one line that names the flag.

#include "sidecar/flags.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/options.h"
#include "testing/temp_folder.h"

namespace tether::sidecar {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

using Flags = std::vector<std::pair<const char*, std::string>>;

// Sets the flags until the end of the test.
class FlagsTest : public ::testing::Test {
 protected:
  static void Set(const Flags& flags) {
    for (const auto& [name, value] : flags) {
      std::string error;
      ASSERT_TRUE(absl::FindCommandLineFlag(name)->ParseFrom(value, &error))
          << error;
    }
  }

  static std::string Error(const Flags& flags) {
    const absl::FlagSaver saver;
    Set(flags);
    return std::string(CheckFlags().message());
  }

  // With these, and complete without.
  static std::string ErrorWith(Flags flags) {
    flags.insert(flags.begin(), {{"ingress", "[::1]:1"}, {"app", "[::1]:2"}});
    return Error(flags);
  }

 private:
  const absl::FlagSaver saver_;
};

TEST_F(FlagsTest, ConfigureTheSimplestCase) {
  Set({{"ingress", "0.0.0.0:50051"},
       {"app", "127.0.0.1:8080"},
       {"egress", "127.0.0.1:15001=dns:///orders:1,unix:/run/s=unix:/run/t=2"},
       {"connect", "127.0.0.1:15000"},
       {"mode", "full"},
       {"admin", "localhost:9901"}});
  ASSERT_EQ(CheckFlags(), absl::OkStatus());
  const auto options = OptionsFromFlags();
  ASSERT_EQ(options.status(), absl::OkStatus());
  EXPECT_EQ(options->ingress.listen, "0.0.0.0:50051");
  EXPECT_EQ(options->ingress.app, "127.0.0.1:8080");
  ASSERT_THAT(options->egress, SizeIs(2));
  EXPECT_EQ(options->egress[0].listen, "127.0.0.1:15001");
  EXPECT_EQ(options->egress[0].target, "dns:///orders:1");
  EXPECT_EQ(options->egress[1].listen, "unix:/run/s");
  EXPECT_EQ(options->egress[1].target, "unix:/run/t=2");
  EXPECT_EQ(options->connect_listen, "127.0.0.1:15000");
  EXPECT_EQ(options->mode, Mode::kFull);
  EXPECT_EQ(options->admin.http_listen, "localhost:9901");
}

TEST_F(FlagsTest, HaveTheDefaultsOfTheConfiguration) {
  Set({{"ingress", "[::1]:1"}, {"app", "[::1]:2"}});
  ASSERT_EQ(CheckFlags(), absl::OkStatus());
  const auto options = OptionsFromFlags();
  ASSERT_EQ(options.status(), absl::OkStatus());
  EXPECT_THAT(options->egress, IsEmpty());
  EXPECT_EQ(options->mode, Mode::kObserve);
  EXPECT_EQ(options->admin.http_listen, "");
  EXPECT_EQ(options->max_in_flight, 10'000);
  EXPECT_FALSE(IsCheck());
  EXPECT_EQ(ConfigFlag(), "");
}

TEST_F(FlagsTest, ModesHaveTheirNames) {
  for (const auto& [name, mode] :
       std::vector<std::pair<const char*, Mode>>{{"observe", Mode::kObserve},
                                                 {"deadline", Mode::kDeadline},
                                                 {"FULL", Mode::kFull},
                                                 {"full", Mode::kFull}}) {
    Set({{"ingress", "[::1]:1"}, {"app", "[::1]:2"}, {"mode", name}});
    EXPECT_EQ(OptionsFromFlags()->mode, mode);
  }
}

TEST_F(FlagsTest, ConfigIsReadAnewEachTime) {
  const tether::testing::TempFolder folder;
  const std::string path = folder.File("flags.textproto");
  Set({{"config", path}});
  EXPECT_EQ(CheckFlags(), absl::OkStatus());
  EXPECT_EQ(OptionsFromFlags().status().message(),
            path + ": can't be read: No such file or directory");
  for (const char* app : {"a:1", "a:2"}) {
    folder.Write(
        "flags.textproto",
        absl::StrCat("ingress { listen: '[::1]:1' app: '", app, "' }"));
    const auto options = OptionsFromFlags();
    ASSERT_EQ(options.status(), absl::OkStatus());
    EXPECT_EQ(options->ingress.app, app);
  }
  folder.Write("flags.textproto", "ingress {");
  EXPECT_EQ(OptionsFromFlags().status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(FlagsTest, AMistakeNamesTheFlag) {
  EXPECT_EQ(Error({}),
            "--config, or --ingress and --app, is required; see --help");
  EXPECT_EQ(Error({{"egress", "[::1]:3=a:1"}}),
            "--config, or --ingress and --app, is required; see --help");
  EXPECT_EQ(Error({{"ingress", "[::1]:1"}}), "--app: required, but not set");
  EXPECT_EQ(Error({{"app", "[::1]:1"}}), "--ingress: required, but not set");
  EXPECT_EQ(ErrorWith({{"ingress", "localhost"}}),
            "--ingress: \"localhost\" has no port; write host:port, [v6]:port "
            "or unix:/path");
  EXPECT_EQ(ErrorWith({{"app", "[::1]:1"}}),
            "--app: \"[::1]:1\" leads back to --ingress, [::1]:1");
  for (const char* egress : {"[::1]:3", "=a:1", "[::1]:3="}) {
    EXPECT_EQ(ErrorWith({{"egress", egress}}),
              std::string("--egress: \"") + egress + "\" is not LISTEN=TARGET");
  }
  EXPECT_EQ(ErrorWith({{"egress", "[::1]:3=a:1,[::1]:3=b:1"}}),
            "--egress: \"[::1]:3\" overlaps with --egress, [::1]:3");
  EXPECT_EQ(ErrorWith({{"egress", "0.0.0.0:3=a:1"}}),
            "--egress: \"0.0.0.0:3\" is open to other machines, and "
            "allow_remote isn't set");
  EXPECT_EQ(ErrorWith({{"mode", "all"}}),
            "--mode: \"all\" is not observe, deadline or full");
  EXPECT_EQ(ErrorWith({{"admin", "[::1]"}}),
            "--admin: \"[::1]\" has no port; write host:port, [v6]:port or "
            "unix:/path");
  // Only the first one.
  EXPECT_EQ(ErrorWith({{"egress", "a=b"}, {"admin", "x"}}),
            "--egress: \"a\" has no port; write host:port, [v6]:port or "
            "unix:/path");
}

TEST_F(FlagsTest, ConfigGoesTogetherWithCheckOnly) {
  for (const char* name : {"ingress", "app", "egress", "mode", "admin"}) {
    EXPECT_EQ(Error({{"config", "f"}, {name, "x"}}),
              std::string("--") + name +
                  " can't be used together with --config; set it in the file");
  }
  EXPECT_EQ(Error({{"config", "f"}, {"check", "true"}}), "");
  EXPECT_EQ(ErrorWith({{"check", "true"}}), "");
}

}  // namespace
}  // namespace tether::sidecar
