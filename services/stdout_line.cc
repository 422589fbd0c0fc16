// SPDX-License-Identifier: Apache-2.0

#include "services/stdout_line.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"

namespace shop {

void WriteStdoutLine(absl::string_view line) {
  const std::string whole = absl::StrCat(line, "\n");
  absl::string_view rest = whole;
  while (!rest.empty()) {
    const ssize_t written = write(STDOUT_FILENO, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace shop
