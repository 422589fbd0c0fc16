// Whole lines on standard output, for another process to read.

#ifndef SHOP_SERVICES_STDOUT_LINE_H_
#define SHOP_SERVICES_STDOUT_LINE_H_

#include "absl/strings/string_view.h"

namespace shop {

// Writes `line` and a line break, in one piece and unbuffered: nothing is left
// to flush at the end, and lines of several threads don't mix as long as they
// are shorter than PIPE_BUF (4 KiB). Does what it can where the output is gone.
void WriteStdoutLine(absl::string_view line);

}  // namespace shop

#endif  // SHOP_SERVICES_STDOUT_LINE_H_
