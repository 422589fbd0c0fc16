// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/clean.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tether/observability/snapshot.h"

namespace tether::ctl {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

int64_t Clamp(int64_t number) {
  return std::clamp(number, -kMaxNumber, kMaxNumber);
}

void CleanOne(Message& message, const Reflection& reflection,
              const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(
          &message, &field,
          CleanText(reflection.GetString(message, &field), kMaxTextSize));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      reflection.SetInt64(&message, &field,
                          Clamp(reflection.GetInt64(message, &field)));
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      CleanMessage(*reflection.MutableMessage(&message, &field));
      break;
    default:
      break;
  }
}

void CleanRepeated(Message& message, const Reflection& reflection,
                   const FieldDescriptor& field, int index) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetRepeatedString(
          &message, &field, index,
          CleanText(reflection.GetRepeatedString(message, &field, index),
                    kMaxTextSize));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      reflection.SetRepeatedInt64(
          &message, &field, index,
          Clamp(reflection.GetRepeatedInt64(message, &field, index)));
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      CleanMessage(*reflection.MutableRepeatedMessage(&message, &field, index));
      break;
    default:
      break;
  }
}

}  // namespace

void CleanMessage(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  reflection.MutableUnknownFields(&message)->Clear();
  std::vector<const FieldDescriptor*> fields;  // that are set
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) {
      CleanOne(message, reflection, *field);
      continue;
    }
    const int size = reflection.FieldSize(message, field);
    for (int i = 0; i < size; ++i) {
      CleanRepeated(message, reflection, *field, i);
    }
  }
}

}  // namespace tether::ctl
