# SPDX-License-Identifier: Apache-2.0
# Instead of add_subdirectory, in a project that fetches tether, here from a local folder.
include(FetchContent)
FetchContent_Declare(tether SOURCE_DIR ${CMAKE_CURRENT_SOURCE_DIR}/third_party/tether)
FetchContent_MakeAvailable(tether)
