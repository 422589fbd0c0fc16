// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/text.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace tether::ctl {
namespace {

constexpr int64_t kMilli = 1000;
constexpr int64_t kSecond = 1000 * kMilli;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kYear = 365 * kDay;

// `us` in `unit`, with `digits` (1 or 2) after the point.
std::string Decimal(int64_t us, int64_t unit, int digits, const char* name) {
  const int64_t scale = digits == 1 ? 10 : 100;
  return absl::StrFormat("%d.%0*d%s", us / unit, digits,
                         us % unit * scale / unit, name);
}

std::string Unsigned(int64_t us) {
  if (us < kMilli) return absl::StrCat(us, "us");
  if (us < 10 * kMilli) return Decimal(us, kMilli, 1, "ms");
  if (us < kSecond) return absl::StrCat(us / kMilli, "ms");
  if (us < 10 * kSecond) return Decimal(us, kSecond, 2, "s");
  if (us < 100 * kSecond) return Decimal(us, kSecond, 1, "s");
  if (us < 10 * kMinute) {
    return absl::StrFormat("%dm%02ds", us / kMinute, us % kMinute / kSecond);
  }
  if (us < 2 * kHour) return absl::StrCat(us / kMinute, "m");
  if (us < 10 * kHour) {
    return absl::StrFormat("%dh%02dm", us / kHour, us % kHour / kMinute);
  }
  if (us < 3 * kDay) return absl::StrCat(us / kHour, "h");
  if (us < 3 * kYear) return absl::StrCat(us / kDay, "d");
  return absl::StrCat(us / kYear, "y");
}

}  // namespace

std::string ShortTime(int64_t us) {
  return us < 0 ? absl::StrCat("-", Unsigned(-us)) : Unsigned(us);
}

std::string ShortTime(std::optional<int64_t> us) {
  return us.has_value() ? ShortTime(*us) : "none";
}

std::string ShortenMiddle(std::string_view text, int width) {
  constexpr std::string_view kGap = "..";
  const auto size = static_cast<size_t>(std::max(width, 0));
  if (text.size() <= size) return std::string(text);
  if (size <= kGap.size() + 1) return std::string(text.substr(0, size));
  const size_t kept = size - kGap.size();
  const size_t front = kept / 3;
  std::string result(text.substr(0, front));
  result += kGap;
  result += text.substr(text.size() - (kept - front));
  return result;
}

std::string FirstThatFits(const std::vector<std::string>& forms, int width) {
  for (const std::string& form : forms) {
    if (static_cast<int>(form.size()) <= width) return form;
  }
  return ShortenMiddle(forms.back(), width);
}

std::string WithoutPackage(std::string_view method) {
  if (!method.empty() && method.front() == '/') method.remove_prefix(1);
  const size_t slash = method.find('/');
  if (slash == std::string_view::npos) return std::string(method);
  const size_t dot = method.rfind('.', slash);
  return std::string(dot == std::string_view::npos ? method
                                                   : method.substr(dot + 1));
}

std::string AddressOf(std::string_view target) {
  const size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) {
    // "dns:orders:443" is legal, too.
    constexpr std::string_view kDns = "dns:";
    if (target.substr(0, kDns.size()) == kDns) {
      target.remove_prefix(kDns.size());
    }
    return std::string(target);
  }
  // "scheme://authority/endpoint"
  const size_t slash = target.find('/', scheme + 3);
  return std::string(slash == std::string_view::npos
                         ? target.substr(scheme + 3)
                         : target.substr(slash + 1));
}

std::string Left(std::string_view text, int width) {
  std::string result(text.substr(0, static_cast<size_t>(std::max(width, 0))));
  result.resize(static_cast<size_t>(std::max(width, 0)), ' ');
  return result;
}

std::string Right(std::string_view text, int width) {
  const auto size = static_cast<size_t>(std::max(width, 0));
  if (text.size() >= size) return std::string(text.substr(0, size));
  return std::string(size - text.size(), ' ') + std::string(text);
}

std::string ShortReason(v1::EndReason reason) {
  switch (reason) {
    case v1::END_REASON_UNSPECIFIED:
      return "";
    case v1::END_REASON_COMPLETED:
      return "answered";
    case v1::END_REASON_OWN_TIMEOUT:
      return "own timeout";
    case v1::END_REASON_INHERITED_DEADLINE:
      return "deadline";
    case v1::END_REASON_CALLER_LEFT:
      return "caller left";
    case v1::END_REASON_CONNECTION_LOST:
      return "connection";
    case v1::END_REASON_SERVER_SHUTDOWN:
      return "shutdown";
    case v1::END_REASON_SIBLING_FAILED:
      return "sibling";
    case v1::END_REASON_CANCELLED:
      return "cancelled";
    case v1::END_REASON_TOO_LITTLE_TIME:
      return "turned away";
    default:
      return "ended";
  }
}

std::string Count(int64_t number, std::string_view thing) {
  std::string text = absl::StrCat(number, " ");
  text += thing;
  if (number != 1) text += thing.back() == 's' ? "es" : "s";
  return text;
}

std::string Wrap(const std::string& text, int indent, int width) {
  const std::string begin(static_cast<size_t>(indent), ' ');
  std::string result;
  std::string line = begin;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(text, ' ', absl::SkipEmpty()))) {
    const bool is_first = line.size() == begin.size();
    if (!is_first && static_cast<int>(line.size() + 1 + word.size()) > width) {
      absl::StrAppend(&result, line, "\n");
      line = begin;
    }
    if (line.size() > begin.size()) line += ' ';
    line += word;
  }
  return absl::StrCat(result, line, "\n");
}

}  // namespace tether::ctl
