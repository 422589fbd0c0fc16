// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/json.h"

#include <google/protobuf/util/json_util.h>

namespace tether::ctl {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
#if GOOGLE_PROTOBUF_VERSION >= 5026000  // Protobuf 26
  options.always_print_fields_with_no_presence = true;
#else
  options.always_print_primitive_fields = true;
#endif
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options)
           .ok()) {
    json.clear();
  }
  return json;
}

}  // namespace tether::ctl
