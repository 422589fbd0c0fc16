// SPDX-License-Identifier: Apache-2.0
//
// The names of a method in a budget report.

#ifndef TETHER_GRPC_INTERNAL_METHOD_NAMES_H_
#define TETHER_GRPC_INTERNAL_METHOD_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tether::internal {

// Sets the service and the method of a v1::CallReport or v1::BudgetReport.
// `method` is "/package.Service/Name"; without a slash, all of it is the
// service.
template <typename Message>
void SetNames(std::string_view method, Message& message) {
  if (!method.empty() && method.front() == '/') method.remove_prefix(1);
  const size_t slash = method.rfind('/');
  message.set_service(std::string(method.substr(0, slash)));
  if (slash != std::string_view::npos) {
    message.set_method(std::string(method.substr(slash + 1)));
  }
}

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_METHOD_NAMES_H_
