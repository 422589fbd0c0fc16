# What tether is built with. A parent project that has a library as targets of its own (add_subdirectory, FetchContent)
# keeps it: only what isn't there is looked for. What is found is there for the parent, too, which links it through
# tether (from CMake 3.24 on; with an older one, the parent finds it first).
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)

if(NOT TARGET Threads::Threads)
  set(THREADS_PREFER_PTHREAD_FLAG ON)
  find_package(Threads REQUIRED)
endif()
if(NOT TARGET absl::status)
  find_package(absl CONFIG REQUIRED)
endif()

if(TETHER_BUILD_GRPC)
  # Protobuf's own description is there from release 22 on (and where it was built with CMake); before, CMake's.
  if(NOT TARGET protobuf::libprotobuf)
    find_package(Protobuf CONFIG QUIET)
    if(NOT TARGET protobuf::libprotobuf)
      find_package(Protobuf REQUIRED)
    endif()
  endif()
  if(NOT TARGET gRPC::grpc++)
    find_package(gRPC CONFIG REQUIRED)
  endif()

  # Debian's gRPC doesn't tell where its plugin is.
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

if(TETHER_BUILD_TESTS)
  find_package(GTest CONFIG REQUIRED)
  find_package(benchmark CONFIG REQUIRED)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
