// A value of the user's own, carried in a header of its own.

#ifndef TETHER_PROPAGATION_HEADER_H_
#define TETHER_PROPAGATION_HEADER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/internal/exceptions.h"
#include "tether/propagation/carrier.h"
#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/propagator.h"

namespace tether {

// How a T is written in a header. ProtoCodec (proto_codec.h) is one for
// messages. Both functions are called from any thread, also at the same time.
// Either may be null, for a header that is only sent or only received. What
// they throw counts as a drop.
template <typename T>
struct HeaderCodec {
  // nullopt: malformed.
  std::function<std::optional<T>(std::string_view)> parse;
  std::function<std::string(const T&)> format;
};

// The text itself.
inline HeaderCodec<std::string> StringCodec() {
  return {[](std::string_view text) { return std::string(text); },
          [](const std::string& text) { return text; }};
}

struct HeaderLimits {
  // The longest header value, in bytes (of "...-bin": before gRPC encodes it).
  // Longer ones never reach the codec.
  size_t max_bytes = 1024;
};

// Carries the value under one key in one header.
//
// Dropped whole, and counted: a value that is longer than the limit, or that
// the codec rejects or throws over; a header that comes with two values; and
// text that would not arrive as it was sent, which is anything but printable
// ASCII (0x20 to 0x7e) without a space at either end. In a header named
// "...-bin", gRPC sends any bytes, and so does this. An empty value is the
// codec's to judge.
//
// `header` is lower-cased. Where it is no legal header name (letters, digits
// and "-_."; not "grpc-..." or "tether-...", nor one of the connection's own,
// such as "te" or "content-type"), the propagator does nothing.
//
// Thread safety: any thread. Lifetime: `key` must outlive the propagator; one
// at namespace scope does.
//
// Example:
//
//   inline constexpr tether::Key<int> kPriority{"priority"};
//
//   auto propagator = std::make_shared<tether::HeaderPropagator<int>>(
//       kPriority, "x-priority",
//       tether::HeaderCodec<int>{
//           [](std::string_view text) -> std::optional<int> {
//             int priority;
//             if (!absl::SimpleAtoi(std::string(text), &priority)) {
//               return std::nullopt;
//             }
//             return priority;
//           },
//           [](const int& priority) { return std::to_string(priority); }});
template <typename T>
class HeaderPropagator final : public Propagator {
 public:
  HeaderPropagator(const Key<T>& key, std::string_view header,
                   HeaderCodec<T> codec, HeaderLimits limits = {})
      : key_(key),
        header_(internal::HeaderNameOrEmpty(header)),
        codec_(std::move(codec)),
        limits_(limits) {}

  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    if (header_.empty() || !codec_.parse) return ctx;
    const internal::SoleValue text = internal::GetSole(carrier, header_);
    if (!text.value.has_value()) {
      if (text.repeated) CountDrop();
      return ctx;
    }
    if (IsGood(*text.value)) {
      TETHER_TRY {
        if (std::optional<T> value = codec_.parse(*text.value)) {
          return WithValue(ctx, key_, *std::move(value));
        }
      }
      TETHER_CATCH(...) {  // counted below
      }
    }
    CountDrop();
    return ctx;
  }

  void Inject(const Context& ctx, Carrier& carrier) const override {
    if (header_.empty() || !codec_.format) return;
    const T* value = ctx.Value(key_);
    if (value == nullptr) return;
    TETHER_TRY {
      const std::string text = codec_.format(*value);
      if (IsGood(text)) return carrier.Set(header_, text);
    }
    TETHER_CATCH(...) {  // counted below
    }
    CountDrop();
  }

  std::vector<std::string_view> Fields() const override {
    if (header_.empty()) return {};
    return {header_};
  }

  size_t MaxInjectBytes(const Context& ctx) const override {
    if (header_.empty() || !codec_.format || !ctx.Value(key_)) return 0;
    return internal::InjectedBytes(header_, limits_.max_bytes);
  }

  int64_t Dropped() const override {
    return dropped_.load(std::memory_order_relaxed);
  }

 private:
  bool IsGood(std::string_view text) const {
    return text.size() <= limits_.max_bytes &&
           (internal::IsBinaryHeaderName(header_) ||
            internal::IsHeaderText(text));
  }
  void CountDrop() const { dropped_.fetch_add(1, std::memory_order_relaxed); }

  const Key<T>& key_;
  const std::string header_;  // empty: not a legal one
  const HeaderCodec<T> codec_;
  const HeaderLimits limits_;
  mutable std::atomic<int64_t> dropped_{0};
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_HEADER_H_
