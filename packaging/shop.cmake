# SPDX-License-Identifier: Apache-2.0
# The programs that the CMake projects in this folder build: README's quickstart, and uses.cc.

foreach(kind IN ITEMS cpp grpc)
  set(plugin)
  if(kind STREQUAL grpc)
    find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
    set(plugin --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
    set(suffix .grpc.pb)
  else()
    set(suffix .pb)
  endif()
  set(stem ${CMAKE_CURRENT_BINARY_DIR}/shop/v1/inventory${suffix})
  add_custom_command(
    OUTPUT ${stem}.cc ${stem}.h
    COMMAND protobuf::protoc --${kind}_out=${CMAKE_CURRENT_BINARY_DIR} ${plugin} -I ${CMAKE_CURRENT_SOURCE_DIR}
            shop/v1/inventory.proto
    DEPENDS shop/v1/inventory.proto)
  list(APPEND generated ${stem}.cc)
endforeach()
add_library(inventory STATIC ${generated})
target_include_directories(inventory PUBLIC ${CMAKE_CURRENT_BINARY_DIR})
target_link_libraries(inventory PUBLIC gRPC::grpc++)

add_executable(quickstart quickstart.cc)
target_link_libraries(quickstart PRIVATE tether::tether tether::grpc inventory)
add_executable(uses uses.cc)
target_link_libraries(uses PRIVATE tether::tether tether::grpc tether::proto_codec tether::testing inventory)

# As part of this project, tether adds no flags and no tests.
if(NOT tether_FOUND)
  get_property(tests DIRECTORY third_party/tether PROPERTY TESTS)
  get_property(options DIRECTORY PROPERTY COMPILE_OPTIONS)
  if(tests OR options OR TETHER_BUILD_TESTS OR TETHER_INSTALL OR TARGET GTest::gtest)
    message(FATAL_ERROR "tether reaches into its user's project")
  endif()
endif()
