# SPDX-License-Identifier: Apache-2.0
# Installs CMake's package files, and configures the Debian packages that cpack makes.

include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/tether-config.cmake.in ${PROJECT_BINARY_DIR}/tether-config.cmake
  INSTALL_DESTINATION ${TETHER_CONFIG_DIR})
# Before 1.0.0, a new minor version may change the API.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tether-config-version.cmake COMPATIBILITY ${compatibility})
install(FILES ${PROJECT_BINARY_DIR}/tether-config.cmake ${PROJECT_BINARY_DIR}/tether-config-version.cmake
  DESTINATION ${TETHER_CONFIG_DIR} COMPONENT tether_development)

if(NOT TETHER_TOP_LEVEL)
  return()
endif()

# One package per shared library, named after its SONAME, and one development package. This is Debian's policy.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tether)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The authors of tether")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_COMPONENTS_ALL tether_development)
set(depends "libabsl-dev")
set(same "(= ${PROJECT_VERSION})")
set(others "")
set(comma "")

# package(COMPONENT NAME SECTION SUMMARY)
function(tether_deb component name section summary)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${summary}" PARENT_SCOPE)
  # Otherwise cpack would install the file with every component.
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} RENAME copyright
    COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()

foreach(library IN ITEMS tether tether_grpc tether_opentelemetry tether_observability tether_prometheus tether_status_page
                         tether_opentelemetry_metrics)
  if(NOT TARGET ${library})
    continue()
  endif()
  if(NOT library STREQUAL tether)
    list(APPEND depends "libgrpc++-dev, libprotobuf-dev")
  endif()
  if(library MATCHES "^tether_opentelemetry")
    list(APPEND depends "opentelemetry-cpp-dev")
  elseif(library STREQUAL tether_prometheus)
    list(APPEND depends "prometheus-cpp-dev")
  elseif(library STREQUAL tether_status_page)
    list(APPEND depends "civetweb, libcivetweb-dev")  # CMake's package of the second names a file of the first
  endif()
  get_target_property(type ${library} TYPE)
  if(type STREQUAL SHARED_LIBRARY)
    string(REPLACE "_" "-" name "lib${library}${TETHER_SOVERSION}")
    tether_deb(${library}_runtime ${name} libs "${PROJECT_DESCRIPTION}: ${library}")
    list(APPEND CPACK_COMPONENTS_ALL ${library}_runtime)
    list(APPEND depends "${name} ${same}")
    # The libraries use each other's internal symbols, so they must have the same version.
    if(NOT library STREQUAL tether)
      string(TOUPPER ${library} upper)
      set(CPACK_DEBIAN_${upper}_RUNTIME_PACKAGE_DEPENDS "${others}")
    endif()
    # The ones that later ones in this list use.
    if(library MATCHES "^tether(_grpc|_observability)?$")
      set(others "${name} ${same}${comma}${others}")
      set(comma ", ")
    endif()
  endif()
endforeach()
list(REMOVE_DUPLICATES depends)
tether_deb(tether_development libtether-dev libdevel "${PROJECT_DESCRIPTION}: to build against")
list(JOIN depends ", " CPACK_DEBIAN_TETHER_DEVELOPMENT_PACKAGE_DEPENDS)
set(CPACK_DEBIAN_TETHER_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
include(CPack)
