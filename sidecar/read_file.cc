// SPDX-License-Identifier: Apache-2.0

#include "sidecar/read_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace tether::sidecar {
namespace {

struct Close {
  void operator()(FILE* file) const { std::fclose(file); }
};

absl::Status Unreadable(int error) {
  return absl::InvalidArgumentError(
      absl::StrCat("can't be read: ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  // fopen would see only what is before it.
  if (path.find('\0') != path.npos) return Unreadable(ENOENT);
  const std::unique_ptr<FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) return Unreadable(errno);
  std::string content(kMaxFileBytes + 1, '\0');
  content.resize(std::fread(content.data(), 1, content.size(), file.get()));
  if (std::ferror(file.get()) != 0) return Unreadable(errno);
  if (content.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("has more than ", kMaxFileBytes, " bytes"));
  }
  return content;
}

}  // namespace tether::sidecar
