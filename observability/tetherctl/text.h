// SPDX-License-Identifier: Apache-2.0
//
// Times and names in few columns. All texts are ASCII: a byte is a column.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_TEXT_H_
#define TETHER_OBSERVABILITY_TETHERCTL_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/v1/budget_report.pb.h"

namespace tether::ctl {

// The most columns of ShortTime's results.
inline constexpr int kTimeWidth = 6;

// `us` microseconds, rounded towards zero: "950us", "1.2ms", "187ms", "9.87s",
// "98.7s", "12m", "2h05m", "31y", "-1.2ms". Requires at most kMaxNumber
// (clean.h) in either direction.
std::string ShortTime(int64_t us);
// "none" for nullopt.
std::string ShortTime(std::optional<int64_t> us);

// `text` in at most `width` columns, with ".." in the place of its middle. More
// of its end is kept, where names and ports differ.
std::string ShortenMiddle(std::string_view text, int width);

// The first of `forms` that fits into `width`; if none does, the last one with
// ShortenMiddle. Requires a form.
std::string FirstThatFits(const std::vector<std::string>& forms, int width);

// "Service/Method" of "/package.Service/Method"; other texts are unchanged.
std::string WithoutPackage(std::string_view method);

// The address in a gRPC target: "orders:443" of "dns:///orders:443".
std::string AddressOf(std::string_view target);

// `text` and spaces, or its first columns if it is too long.
std::string Left(std::string_view text, int width);
std::string Right(std::string_view text, int width);

// At most 11 columns: "caller left". "" for UNSPECIFIED, "ended" for values
// that this program doesn't know.
std::string ShortReason(v1::EndReason reason);

// "1 request", "2 requests", "2 processes". Requires a thing.
std::string Count(int64_t number, std::string_view thing);

// The words of `text`, in lines of at most `width` columns that begin with
// `indent` spaces. A longer word has a line of its own. Ends with a newline.
std::string Wrap(const std::string& text, int indent, int width);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_TEXT_H_
