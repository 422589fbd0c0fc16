# SPDX-License-Identifier: Apache-2.0
# tether's dependencies. If a parent project already has a library as targets (add_subdirectory, FetchContent), tether uses
# those, and looks only for the missing ones. From CMake 3.24 on, the parent can use the targets that are found here, and links
# them through tether. With an older CMake, the parent must find them first.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)

if(NOT TARGET Threads::Threads)
  set(THREADS_PREFER_PTHREAD_FLAG ON)
  find_package(Threads REQUIRED)
endif()
if(NOT TARGET absl::status)
  find_package(absl CONFIG REQUIRED)
endif()

if(TETHER_BUILD_GRPC)
  # Protobuf has its own CMake package from release 22 on, and before that if it was built with CMake. Otherwise CMake's
  # module finds it.
  if(NOT TARGET protobuf::libprotobuf)
    find_package(Protobuf CONFIG QUIET)
    if(NOT TARGET protobuf::libprotobuf)
      find_package(Protobuf REQUIRED)
    endif()
  endif()
  if(NOT TARGET gRPC::grpc++)
    find_package(gRPC CONFIG REQUIRED)
  endif()

  # Debian's gRPC package doesn't define a target for its plugin.
  if(TARGET gRPC::grpc_cpp_plugin)
    set(TETHER_GRPC_PLUGIN $<TARGET_FILE:gRPC::grpc_cpp_plugin>)
  else()
    find_program(TETHER_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
    set(TETHER_GRPC_PLUGIN ${TETHER_GRPC_CPP_PLUGIN})
  endif()
endif()

if(TETHER_BUILD_OPENTELEMETRY AND NOT TARGET opentelemetry-cpp::api)
  find_package(opentelemetry-cpp CONFIG REQUIRED)
endif()
if(TETHER_BUILD_PROMETHEUS AND NOT TARGET prometheus-cpp::core)
  find_package(prometheus-cpp CONFIG REQUIRED)
endif()
# Debian's CMake package of civetweb, which is in libcivetweb-dev, is an error without the package civetweb.
if(TETHER_BUILD_STATUS_PAGE AND NOT TARGET civetweb::civetweb)
  find_package(civetweb CONFIG REQUIRED)
endif()

if(TETHER_BUILD_TESTS)
  find_package(GTest CONFIG REQUIRED)
  find_package(benchmark CONFIG REQUIRED)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
