# SPDX-License-Identifier: Apache-2.0
# Instead of find_package.cmake, in a project that uses an installed tether with all its options.
find_package(tether 0.1 CONFIG REQUIRED COMPONENTS opentelemetry_metrics opentelemetry prometheus status_page)
add_executable(optional optional.cc)
target_link_libraries(optional PRIVATE
  tether::opentelemetry tether::opentelemetry_metrics tether::prometheus tether::status_page)
