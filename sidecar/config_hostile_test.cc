// SPDX-License-Identifier: Apache-2.0
//
// Tests that any text is refused in time and in few words, also huge, binary
// and deeply nested ones.

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sidecar/config.h"

namespace tether::sidecar {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

// "" if there are none.
std::string Errors(std::string_view text) {
  return std::string(ParseConfig(text, "f").status().message());
}

// Of a configuration that is complete without `text`, which begins in line 2.
std::string ErrorsOf(std::string_view text) {
  return Errors(
      absl::StrCat("ingress { listen: '127.0.0.1:1' app: '127.0.0.1:2' }\n",
                   std::string(text)));
}

TEST(HostileConfigTest, ManyErrorsAreTwentyLines) {
  std::string many;
  for (int i = 0; i < 50'000; ++i) many += "\tx: 1 ";
  const std::string errors = ErrorsOf(many);
  EXPECT_THAT(errors, EndsWith("\n49980 more errors"));
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 20);
  many = "";
  for (int i = 0; i < 1001; ++i) many += "egress {} ";
  EXPECT_THAT(ErrorsOf(many), EndsWith("\n1981 more errors"));
}

TEST(HostileConfigTest, AValueIsShownInPartAndPrintable) {
  EXPECT_EQ(ErrorsOf("egress { listen: '[::1]:3' target: '\\n\\xff\\\"' }"),
            "f:2:28: egress[0].target: \"\\n\\xff\\\"\" has characters that "
            "aren't printable ASCII");
  EXPECT_EQ(ErrorsOf(absl::StrCat("egress { listen: '", std::string(5000, 'x'),
                                  "' target: 'a:1' }")),
            absl::StrCat("f:2:10: egress[0].listen: \"", std::string(200, 'x'),
                         "…\" has no valid host; write host:port, [v6]:port or "
                         "unix:/path"));
}

TEST(HostileConfigTest, IsRefusedInTime) {
  std::string binary;
  for (int i = 0; i < 4096; ++i) binary += static_cast<char>(i * 7);
  for (const std::string& text :
       {binary, std::string(1 << 20, '\0'), std::string(1 << 20, '\xff'),
        std::string(1 << 20, '{'), std::string(1 << 20, '['),
        std::string(1 << 20, '\''), std::string(1 << 20, 'x'),
        std::string("x: 'a\0b'", 8)}) {
    const std::string errors = Errors(text);
    EXPECT_THAT(errors, StartsWith("f:1:")) << text.substr(0, 10);
    EXPECT_LT(errors.size(), 2000u);
    for (const char c : errors) EXPECT_TRUE((c >= ' ' && c < 127) || c == '\n');
  }
  for (const char* level : {"x{", "x:[", "egress{x<", "ingress{"}) {
    std::string deep;
    while (deep.size() < (1 << 20) - 16) deep += level;
    EXPECT_THAT(Errors(deep), StartsWith("f:1:")) << level;
  }
  EXPECT_EQ(Errors(std::string((1 << 20) + 1, '#')),
            "f: has more than 1048576 bytes");
  EXPECT_EQ(Errors(std::string(1 << 20, '#')),
            "f:1:1: ingress: required, but not set");
}

}  // namespace
}  // namespace tether::sidecar
