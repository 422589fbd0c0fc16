# SPDX-License-Identifier: Apache-2.0
# cmake_test.sh appends this to README's project: a program that uses each library.
add_executable(uses uses.cc)
target_link_libraries(uses PRIVATE tether::tether tether::grpc tether::observability tether::proto_codec tether::testing inventory)

# As part of this project, tether adds no flags and no tests.
if(NOT tether_FOUND)
  get_property(tests DIRECTORY third_party/tether PROPERTY TESTS)
  get_property(options DIRECTORY PROPERTY COMPILE_OPTIONS)
  if(tests OR options OR TETHER_BUILD_TESTS OR TETHER_INSTALL OR TARGET GTest::gtest)
    message(FATAL_ERROR "tether reaches into its user's project")
  endif()
endif()
