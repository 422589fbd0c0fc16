// SPDX-License-Identifier: Apache-2.0
//
// Carries an application-defined value in a header.

#ifndef TETHER_PROPAGATION_HEADER_H_
#define TETHER_PROPAGATION_HEADER_H_

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
#include "tether/propagation/drop_counter.h"
#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/sole_value.h"
#include "tether/propagation/propagator.h"

namespace tether {

// How a T is written in a header. codecs.h has codecs for strings, integers,
// bools and durations; proto_codec.h has one for protobuf messages.
//
// Both functions are called from any thread, also concurrently. If one throws,
// the value is dropped and counted. Either may be null, for a header that is
// only sent or only received.
template <typename T>
struct HeaderCodec {
  // Returns nullopt for malformed text.
  std::function<std::optional<T>(std::string_view)> parse;
  // Returns nullopt for a value that cannot be written.
  std::function<std::optional<std::string>(const T&)> format;
};

struct HeaderLimits {
  // The longest header value in bytes; for "...-bin" headers, before gRPC
  // encodes it. Longer values never reach the codec.
  size_t max_bytes = 1024;
};

// Carries the value of one key in one header.
//
// These values are dropped and counted:
//  - values longer than the limit;
//  - values that the codec rejects, or for which it throws;
//  - headers that arrive with two different values;
//  - text that could change on its way: anything but printable ASCII (0x20 to
//    0x7e), or text that begins or ends with a space. "...-bin" headers may
//    contain any bytes.
// Empty values are passed to the codec.
//
// `header` is converted to lower case. Legal names consist of letters, digits
// and "-_.", are not "tether", do not begin with "grpc-" or "tether-", and are
// not used by the connection itself, as "te" and "content-type" are. For any
// other name, the constructor throws std::invalid_argument with a message that
// says why; in a program without exceptions, it prints the message and aborts.
//
// Thread safety: any thread. Lifetime: `key` must outlive the propagator. Keys
// at namespace scope do.
//
// Example:
//
//   inline constexpr tether::Key<int> kPriority{"priority"};
//
//   auto propagator = std::make_shared<tether::HeaderPropagator<int>>(
//       kPriority, "x-priority", tether::IntCodec(0, 9));
template <typename T>
class HeaderPropagator final : public Propagator {
 public:
  HeaderPropagator(const Key<T>& key, std::string_view header,
                   HeaderCodec<T> codec, HeaderLimits limits = {})
      : key_(key),
        header_(internal::HeaderNameOrThrow("HeaderPropagator", header)),
        codec_(std::move(codec)),
        limits_(limits) {}

  Context Extract(const Carrier& carrier, const Context& ctx) const override {
    if (!codec_.parse) return ctx;
    const internal::SoleValue text = internal::GetSole(carrier, header_);
    if (!text.value.has_value()) {
      if (text.repeated) dropped_.Add(header_, "it has several values");
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
    dropped_.Add(header_, WhyBad(*text.value));
    return ctx;
  }

  void Inject(const Context& ctx, Carrier& carrier) const override {
    if (!codec_.format) return;
    const T* value = ctx.Value(key_);
    if (value == nullptr) return;
    std::string_view why = "its codec can't write the value";
    TETHER_TRY {
      const std::optional<std::string> text = codec_.format(*value);
      if (text.has_value()) {
        if (IsGood(*text)) return carrier.Set(header_, *text);
        why = WhyBad(*text);
      }
    }
    TETHER_CATCH(...) {  // counted below
    }
    dropped_.Add(header_, why);
  }

  std::vector<std::string_view> Fields() const override { return {header_}; }

  size_t MaxInjectBytes(const Context& ctx) const override {
    if (!codec_.format || !ctx.Value(key_)) return 0;
    return internal::InjectedBytes(header_, limits_.max_bytes);
  }

  int64_t Dropped() const override { return dropped_.count(); }

 private:
  bool IsGood(std::string_view text) const {
    return text.size() <= limits_.max_bytes &&
           (internal::IsBinaryHeaderName(header_) ||
            internal::IsHeaderText(text));
  }

  std::string_view WhyBad(std::string_view text) const {
    if (text.size() > limits_.max_bytes) return "longer than HeaderLimits";
    return IsGood(text) ? "its codec rejects the value"
                        : "not printable ASCII, or a space at an end";
  }

  const Key<T>& key_;
  const std::string header_;
  const HeaderCodec<T> codec_;
  const HeaderLimits limits_;
  const DropCounter dropped_;
};

}  // namespace tether

#endif  // TETHER_PROPAGATION_HEADER_H_
