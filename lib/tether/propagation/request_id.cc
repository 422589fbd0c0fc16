// SPDX-License-Identifier: Apache-2.0

#include "tether/propagation/request_id.h"

#include <utility>

#include "tether/propagation/internal/header_text.h"
#include "tether/propagation/internal/hex.h"
#include "tether/propagation/internal/injected_bytes.h"
#include "tether/propagation/internal/random.h"
#include "tether/propagation/internal/sole_value.h"

namespace tether {
namespace {

constexpr Key<std::string> kRequestId{"request_id"};

}  // namespace

const std::string* RequestIdOf(const Context& ctx) {
  return ctx.Value(kRequestId);
}

Context WithRequestId(const Context& parent, std::string id) {
  return WithValue(parent, kRequestId, std::move(id));
}

std::string NewRequestId() {
  const auto bits = internal::RandomId<16>();
  std::string id(2 * bits.size(), '0');
  internal::WriteLowerHex(bits.data(), bits.size(), id.data());
  return id;
}

RequestIdPropagator::RequestIdPropagator(RequestIdOptions options)
    : header_(
          internal::HeaderNameOrThrow("RequestIdPropagator", options.header)),
      max_bytes_(options.max_bytes),
      make_if_absent_(options.make_if_absent) {}

Context RequestIdPropagator::Extract(const Carrier& carrier,
                                     const Context& ctx) const {
  const internal::SoleValue id = internal::GetSole(carrier, header_);
  if (id.value.has_value() && IsGood(*id.value)) {
    return WithValue(ctx, kRequestId, std::string(*id.value));
  }
  if (id.value.has_value()) {
    dropped_.Add(header_, "empty, longer than max_bytes, or not visible ASCII");
  }
  if (id.repeated) dropped_.Add(header_, "it has several values");
  if (make_if_absent_ && RequestIdOf(ctx) == nullptr) {
    return WithRequestId(ctx, NewRequestId());
  }
  return ctx;
}

void RequestIdPropagator::Inject(const Context& ctx, Carrier& carrier) const {
  const std::string* id = RequestIdOf(ctx);
  if (id == nullptr) return;
  if (!IsGood(*id)) {
    return dropped_.Add(header_,
                        "empty, longer than max_bytes, or not visible ASCII");
  }
  carrier.Set(header_, *id);
}

std::vector<std::string_view> RequestIdPropagator::Fields() const {
  return {header_};
}

size_t RequestIdPropagator::MaxInjectBytes(const Context&) const {
  return internal::InjectedBytes(header_, max_bytes_);
}

int64_t RequestIdPropagator::Dropped() const { return dropped_.count(); }

bool RequestIdPropagator::IsGood(std::string_view id) const {
  return !id.empty() && id.size() <= max_bytes_ && internal::IsVisibleAscii(id);
}

}  // namespace tether
