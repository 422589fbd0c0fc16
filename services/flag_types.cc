// SPDX-License-Identifier: Apache-2.0

#include "services/flag_types.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <streambuf>
#include <vector>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace shop {
namespace {

bool ParseDuration(absl::string_view text, absl::Duration* duration,
                   std::string* error) {
  if (!absl::ParseDuration(text, duration)) {
    *error = "not a time; write it as 50ms or 1.5s";
    return false;
  }
  if (*duration < absl::ZeroDuration()) {
    *error = "a time can't be negative here";
    return false;
  }
  if (*duration > kLongestFlagDuration) {
    *error = absl::StrCat("longer than ",
                          absl::FormatDuration(kLongestFlagDuration));
    return false;
  }
  return true;
}

bool IsLowerHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

// Forwards a stream's first line, and drops the others.
class FirstLine : public std::streambuf {
 public:
  explicit FirstLine(std::streambuf* output) : output_(output) {}

 protected:
  int_type overflow(int_type c) override {
    if (done_ || traits_type::eq_int_type(c, traits_type::eof())) {
      return traits_type::not_eof(c);
    }
    const char text = traits_type::to_char_type(c);
    done_ = text == '\n';
    return output_->sputc(text);
  }

 private:
  std::streambuf* const output_;
  bool done_ = false;
};

}  // namespace

bool AbslParseFlag(absl::string_view text, Timeout* timeout,
                   std::string* error) {
  if (!ParseDuration(text, &timeout->value, error)) return false;
  if (timeout->value > absl::ZeroDuration()) return true;
  *error = "must be more than zero";
  return false;
}

std::string AbslUnparseFlag(const Timeout& timeout) {
  return absl::FormatDuration(timeout.value);
}

bool AbslParseFlag(absl::string_view text, Delay* delay, std::string* error) {
  return ParseDuration(text, &delay->value, error);
}

std::string AbslUnparseFlag(const Delay& delay) {
  return absl::FormatDuration(delay.value);
}

bool AbslParseFlag(absl::string_view text, TraceId* id, std::string* error) {
  if (text.size() != 32 || !std::all_of(text.begin(), text.end(), IsLowerHex)) {
    *error = "a trace id has 32 lower-case hex digits";
    return false;
  }
  if (std::all_of(text.begin(), text.end(), [](char c) { return c == '0'; })) {
    *error = "a trace id can't be all zeros";
    return false;
  }
  id->hex = std::string(text);
  return true;
}

std::string AbslUnparseFlag(const TraceId& id) { return id.hex; }

void ParseFlagsOrExit(int argc, char** argv, absl::string_view usage) {
  absl::SetProgramUsageMessage(usage);
  absl::FlagsUsageConfig config;
  config.contains_help_flags = [](absl::string_view file) {
    return absl::StrContains(file, "services/");
  };
  absl::SetFlagsUsageConfig(config);
  // Abseil prints one or two lines per mistake, and then ends the process. So
  // the replacement stream must outlive this function.
  static std::streambuf* const stderr_buffer = std::cerr.rdbuf();
  static auto& first_line = *new FirstLine(stderr_buffer);
  std::cerr.rdbuf(&first_line);
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  std::cerr.rdbuf(stderr_buffer);
  if (rest.size() > 1) {
    ExitOverFlags(absl::StrCat("'", rest[1], "' is not a flag"));
  }
}

void ExitOverFlags(absl::string_view message) {
  std::cerr << "ERROR: " << message << std::endl;
  std::exit(2);
}

}  // namespace shop
