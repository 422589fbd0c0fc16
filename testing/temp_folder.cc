// SPDX-License-Identifier: Apache-2.0

#include "testing/temp_folder.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace tether::testing {

TempFolder::TempFolder() {
  char name[] = "/tmp/tether-test.XXXXXX";
  if (mkdtemp(name) == nullptr) {
    std::perror(name);
    std::abort();
  }
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
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  return path;
}

std::string TempFolder::Socket(std::string_view name) const {
  return absl::StrCat("unix:", File(name));
}

}  // namespace tether::testing
