// SPDX-License-Identifier: Apache-2.0

#include "sidecar/config_values.h"

#include <google/protobuf/duration.pb.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "sidecar/address.h"
#include "sidecar/config_errors.h"
#include "sidecar/options.h"
#include "tether/grpc/policy.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {

absl::Duration ReadDuration(const google::protobuf::Duration& duration,
                            const ConfigPlace& place, ConfigErrors& errors,
                            absl::Duration max) {
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  constexpr int32_t kMaxNanos = 999'999'999;
  std::string error;
  if (seconds < 0 || nanos < 0) {
    error = "a negative duration";
  } else if (nanos > kMaxNanos) {
    error = absl::StrCat("nanos are 0 to ", kMaxNanos);
  } else if (absl::Seconds(seconds) + absl::Nanoseconds(nanos) > max) {
    error = absl::StrCat("more than ", absl::FormatDuration(max));
  }
  if (error.empty()) return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
  errors.Add(place, error);
  return absl::ZeroDuration();
}

TimePolicy ReadTimes(const v1::TimePolicy& times, const ConfigPlace& place,
                     ConfigErrors& errors) {
  TimePolicy policy;
  if (times.has_max_timeout()) {
    policy.max_timeout =
        ReadDuration(times.max_timeout(), place.At("max_timeout"), errors);
  }
  if (times.has_default_timeout()) {
    policy.default_timeout = ReadDuration(times.default_timeout(),
                                          place.At("default_timeout"), errors);
  }
  if (times.has_min_budget()) {
    policy.min_budget =
        ReadDuration(times.min_budget(), place.At("min_budget"), errors);
  }
  return policy;
}

double ReadFraction(double value, const ConfigPlace& place,
                    ConfigErrors& errors) {
  const bool is_fraction = value >= 0 && value <= 1;  // NaN isn't
  if (!is_fraction) errors.Add(place, absl::StrCat(value, " is not 0 to 1"));
  return value;
}

int ReadInt(int value, int min, int max, const ConfigPlace& place,
            ConfigErrors& errors) {
  if (value < min || value > max) {
    errors.Add(place, absl::StrCat(value, " is not ", min, " to ", max));
  }
  return value;
}

Mode ReadMode(v1::SidecarConfig::Mode mode, const ConfigPlace& place,
              ConfigErrors& errors) {
  switch (mode) {
    case v1::SidecarConfig::MODE_UNSPECIFIED:
    case v1::SidecarConfig::OBSERVE:
      return Mode::kObserve;
    case v1::SidecarConfig::DEADLINE:
      return Mode::kDeadline;
    case v1::SidecarConfig::FULL:
      return Mode::kFull;
    default:  // the parser accepts any number
      break;
  }
  errors.Add(place, absl::StrCat(static_cast<int>(mode),
                                 " is not OBSERVE, DEADLINE or FULL"));
  return Mode::kObserve;
}

Correlate ReadCorrelate(v1::Egress::Correlate correlate, bool is_required,
                        const ConfigPlace& place, ConfigErrors& errors) {
  switch (correlate) {
    case v1::Egress::CORRELATE_UNSPECIFIED:
      if (is_required) errors.Add(place, kRequired);
      return Correlate::kFull;
    case v1::Egress::OFF:
      return Correlate::kOff;
    case v1::Egress::DEADLINE:
      return Correlate::kDeadline;
    case v1::Egress::FULL:
      return Correlate::kFull;
    default:
      break;
  }
  errors.Add(place, absl::StrCat(static_cast<int>(correlate),
                                 " is not OFF, DEADLINE or FULL"));
  return Correlate::kFull;
}

void Patterns::Check(const std::string& pattern, const ConfigPlace& entry,
                     ConfigErrors& errors) {
  const ConfigPlace place = entry.At("pattern");
  if (pattern.empty()) {
    errors.Add(place, kRequired);
    return;
  }
  if (!IsMethodPattern(pattern)) {
    errors.Add(place, absl::StrCat(Quoted(pattern),
                                   " is not a pattern; write "
                                   "/package.Service/Method, "
                                   "/package.Service/* or *"));
    return;
  }
  const auto [it, is_new] = names_.emplace(pattern, errors.NameOf(entry));
  if (!is_new) {
    errors.Add(place, absl::StrCat(Quoted(pattern), " is also the pattern of ",
                                   it->second));
  }
}

}  // namespace tether::sidecar
