// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/log_fields.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"

namespace tether {
namespace {

// A method. Most names are short enough to need no memory of their own.
class Method {
 public:
  explicit Method(std::string_view name) : size_(name.size()) {
    if (size_ <= sizeof(short_)) {
      std::memcpy(short_, name.data(), size_);
    } else {
      long_ = std::make_unique<const std::string>(name);
    }
  }
  Method(Method&&) noexcept = default;

  std::string_view name() const {
    return long_ == nullptr ? std::string_view(short_, size_) : *long_;
  }

 private:
  size_t size_;
  std::unique_ptr<const std::string> long_;
  char short_[64] = {};
};

inline constexpr Key<Method> kMethod{"method"};

bool IsPrintable(char c) { return c >= 0x20 && c <= 0x7e; }

bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (!IsPrintable(c) || c == ' ' || c == '"' || c == '=' || c == '\\') {
      return true;
    }
  }
  return false;
}

void AppendEscaped(char c, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  switch (c) {
    case '"':
    case '\\':
      out += '\\';
      out += c;
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (IsPrintable(c)) {
    out += c;
    return;
  }
  const auto byte = static_cast<unsigned char>(c);
  out += "\\x";
  out += kDigits[static_cast<size_t>(byte >> 4)];
  out += kDigits[static_cast<size_t>(byte & 15)];
}

}  // namespace

std::string_view MethodOf(const Context& ctx) {
  const Method* method = ctx.Value(kMethod);
  return method == nullptr ? std::string_view() : method->name();
}

Context WithMethod(const Context& parent, std::string_view method) {
  return WithValue(parent, kMethod, Method(method));
}

std::vector<LogField> LogFieldsOf(const Context& ctx) {
  std::vector<LogField> fields;
  if (const std::string_view method = MethodOf(ctx); !method.empty()) {
    fields.emplace_back("method", method);
  }
  if (const TraceContext* trace = TraceOf(ctx);
      trace != nullptr && trace->valid()) {
    fields.emplace_back("trace_id", trace->TraceIdHex());
  }
  if (const std::string* id = RequestIdOf(ctx)) {
    fields.emplace_back("request_id", *id);
  }
  const absl::Duration left = ctx.Remaining();
  if (left != absl::InfiniteDuration()) {
    fields.emplace_back("time_left", absl::FormatDuration(absl::Trunc(
                                         left, absl::Microseconds(1))));
  }
  return fields;
}

std::string FormatLogFields(const std::vector<LogField>& fields) {
  std::string out;
  for (const LogField& field : fields) {
    if (!out.empty()) out += ' ';
    out += field.first;
    out += '=';
    if (!NeedsQuotes(field.second)) {
      out += field.second;
      continue;
    }
    out += '"';
    for (const char c : field.second) AppendEscaped(c, out);
    out += '"';
  }
  return out;
}

std::string LogFields(const Context& ctx) {
  return FormatLogFields(LogFieldsOf(ctx));
}

}  // namespace tether
