// SPDX-License-Identifier: Apache-2.0
//
// A message as one line of JSON.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_JSON_H_
#define TETHER_OBSERVABILITY_TETHERCTL_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace tether::ctl {

// Has the field names of the proto, and fields with default values, too, except
// optional ones. Requires texts that are UTF-8, as CleanMessage makes them.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_JSON_H_
