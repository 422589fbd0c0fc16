alias(
    name = "grpc_cpp_plugin",
    actual = "bin/grpc_cpp_plugin",
)
