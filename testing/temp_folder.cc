// SPDX-License-Identifier: Apache-2.0

#include "testing/temp_folder.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ios>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace tether::testing {
namespace {

[[noreturn]] void Fail(const std::string& path) {
  std::perror(path.c_str());
  std::abort();
}

}  // namespace

TempFolder::TempFolder() {
  char name[] = "/tmp/tether-test.XXXXXX";
  if (mkdtemp(name) == nullptr) Fail(name);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::File(std::string_view name) const {
  return absl::StrCat(path_, "/", std::string(name));
}

std::string TempFolder::Write(std::string_view name,
                              std::string_view content) const {
  const std::string path = File(name);
  std::error_code ignored;  // the file then can't be written
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(),
                                      ignored);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content << std::flush;
  if (!file) Fail(path);
  return path;
}

std::string TempFolder::Socket(std::string_view name) const {
  return absl::StrCat("unix:", File(name));
}

}  // namespace tether::testing
