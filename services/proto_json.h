// A message as one line of JSON.

#ifndef SHOP_SERVICES_PROTO_JSON_H_
#define SHOP_SERVICES_PROTO_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace shop {

// With the fields' own names, and with fields that have their default value.
// Empty if `message` can't be written, such as a string that isn't UTF-8.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace shop

#endif  // SHOP_SERVICES_PROTO_JSON_H_
