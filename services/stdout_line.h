// SPDX-License-Identifier: Apache-2.0
//
// Whole lines on standard output, for another process to read.

#ifndef SHOP_SERVICES_STDOUT_LINE_H_
#define SHOP_SERVICES_STDOUT_LINE_H_

#include "absl/strings/string_view.h"

namespace shop {

// Writes `line` and a line break in one unbuffered write. So nothing is left to
// flush at exit, and lines of several threads don't mix if they are shorter
// than PIPE_BUF (4 KiB). Ignores errors if the output is closed.
void WriteStdoutLine(absl::string_view line);

}  // namespace shop

#endif  // SHOP_SERVICES_STDOUT_LINE_H_
