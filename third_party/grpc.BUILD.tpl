# SPDX-License-Identifier: Apache-2.0
alias(
    name = "grpc_cpp_plugin",
    actual = "bin/grpc_cpp_plugin",
)
