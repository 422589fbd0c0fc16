// SPDX-License-Identifier: Apache-2.0
//
// Reads single values of a configuration, and checks them.

#ifndef TETHER_SIDECAR_CONFIG_VALUES_H_
#define TETHER_SIDECAR_CONFIG_VALUES_H_

#include <google/protobuf/duration.pb.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "sidecar/config_errors.h"
#include "sidecar/options.h"
#include "tether/grpc/policy.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {

// The longest time that a Duration can be.
inline constexpr absl::Duration kMaxConfigDuration =
    absl::Seconds(315'576'000'000);

// Zero if there is an error: the duration is malformed, negative, or more than
// `max`.
absl::Duration ReadDuration(const google::protobuf::Duration& duration,
                            const ConfigPlace& place, ConfigErrors& errors,
                            absl::Duration max = kMaxConfigDuration);

// Fields that aren't set stay unset. Errors as in ReadDuration.
TimePolicy ReadTimes(const v1::TimePolicy& times, const ConfigPlace& place,
                     ConfigErrors& errors);

// Adds an error unless `value` is 0 to 1.
double ReadFraction(double value, const ConfigPlace& place,
                    ConfigErrors& errors);

// Adds an error unless `value` is `min` to `max`.
int ReadInt(int value, int min, int max, const ConfigPlace& place,
            ConfigErrors& errors);

Mode ReadMode(v1::SidecarConfig::Mode mode, const ConfigPlace& place,
              ConfigErrors& errors);

// `is_required`: CORRELATE_UNSPECIFIED is an error.
Correlate ReadCorrelate(v1::Egress::Correlate correlate, bool is_required,
                        const ConfigPlace& place, ConfigErrors& errors);

// Checks the patterns of one list: that each is one, and occurs once.
class Patterns {
 public:
  // `entry` is the place of the message that has the field `pattern`.
  void Check(const std::string& pattern, const ConfigPlace& entry,
             ConfigErrors& errors);

 private:
  std::map<std::string, std::string> names_;  // of the places
};

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONFIG_VALUES_H_
