// SPDX-License-Identifier: Apache-2.0
//
// A message as one line of JSON.

#ifndef SHOP_SERVICES_PROTO_JSON_H_
#define SHOP_SERVICES_PROTO_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace shop {

// Uses the field names of the proto, and includes fields with default values.
// Returns "" if `message` can't be converted, for example because a string
// isn't UTF-8.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace shop

#endif  // SHOP_SERVICES_PROTO_JSON_H_
