# SPDX-License-Identifier: Apache-2.0
# The functions that cmake/targets.cmake calls. Paths are relative to the root of the repository.

# Each library that users link is compiled once. A shared library hides its internal symbols, so tether's own tests link a
# static library of the same objects. The tests always use the name tether_internal::NAME.

set(TETHER_GENERATED_DIR ${PROJECT_BINARY_DIR}/gen)

# Compile options for tether's own code, not for generated code.
function(tether_compile_options target)
  target_compile_features(${target} PRIVATE cxx_std_17)
  if(TETHER_WARNINGS)
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wextra-semi $<$<BOOL:${TETHER_WERROR}>:-Werror>)
  endif()
endfunction()

# tether_existing(RESULT NAMES...): the names that exist as targets. Abseil removes libraries that the standard replaces.
function(tether_existing result)
  set(found)
  foreach(name IN LISTS ARGN)
    if(NOT name MATCHES "^absl::" OR TARGET ${name})
      list(APPEND found ${name})
    endif()
  endforeach()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# tether_generate(RESULT GRPC PREFIX FILE...): the C++ sources of .proto files, whose import path begins after PREFIX.
function(tether_generate result grpc prefix)
  set(outputs)
  foreach(file IN LISTS ARGN)
    string(REGEX REPLACE "^${prefix}/(.*)\\.proto$" "\\1" stem ${file})
    if(grpc)
      set(kinds .grpc.pb.cc .grpc.pb.h)
      set(options "--grpc_out=${TETHER_GENERATED_DIR}" "--plugin=protoc-gen-grpc=${TETHER_GRPC_PLUGIN}")
    else()
      set(kinds .pb.cc .pb.h)
      set(options "--cpp_out=${TETHER_GENERATED_DIR}")
    endif()
    list(TRANSFORM kinds PREPEND ${TETHER_GENERATED_DIR}/${stem} OUTPUT_VARIABLE files)
    file(MAKE_DIRECTORY ${TETHER_GENERATED_DIR})
    add_custom_command(
      OUTPUT ${files}
      COMMAND $<TARGET_FILE:protobuf::protoc> ${options} -I ${PROJECT_SOURCE_DIR}/${prefix} -I ${PROJECT_SOURCE_DIR}/proto
              ${PROJECT_SOURCE_DIR}/${file}
      DEPENDS ${PROJECT_SOURCE_DIR}/${file}
      COMMENT "Generating the C++ of ${file}"
      VERBATIM)
    list(APPEND outputs ${files})
  endforeach()
  set(${result} ${outputs} PARENT_SCOPE)
endfunction()

# A library that users link.
#   SRCS, HDRS   its files; without SRCS it is an INTERFACE library
#   PROTOS       the prefix of their import path, and .proto files
#   GRPC_PROTOS  the same, for those of its PROTOS that have services
#   DEPS         its dependencies, all public, because its headers include their headers
function(tether_public_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;HDRS;PROTOS;GRPC_PROTOS;DEPS")
  if(NOT TETHER_BUILD_GRPC AND (ARG_DEPS MATCHES "gRPC::|protobuf::"))
    return()
  endif()
  string(REGEX REPLACE "^tether_" "" export_name ${name})
  string(REPLACE "_" "-" file_name ${name})
  tether_existing(deps ${ARG_DEPS})

  set(public PUBLIC)
  if(NOT ARG_SRCS)
    set(public INTERFACE)
    add_library(${name} INTERFACE)
  elseif(name STREQUAL tether_testing)
    add_library(${name} STATIC ${ARG_SRCS})  # only tests link it
  else()
    add_library(${name} ${ARG_SRCS})
  endif()
  add_library(tether::${export_name} ALIAS ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${export_name})
  if(ARG_SRCS)
    set_target_properties(${name} PROPERTIES
      OUTPUT_NAME ${file_name}
      VERSION ${PROJECT_VERSION}
      SOVERSION ${TETHER_SOVERSION}
      CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON
      DEFINE_SYMBOL "")
  endif()
  target_compile_features(${name} ${public} cxx_std_17)
  target_link_libraries(${name} ${public} ${deps})
  target_include_directories(${name} ${public}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/lib>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/interceptors>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/observability>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  if(ARG_SRCS)
    target_link_libraries(${name} PUBLIC Threads::Threads)
    tether_compile_options(${name})
  endif()

  if(ARG_PROTOS)
    tether_generate(generated FALSE ${ARG_PROTOS})
    if(ARG_GRPC_PROTOS)
      tether_generate(services TRUE ${ARG_GRPC_PROTOS})
      list(APPEND generated ${services})
    endif()
    # Generated code may have warnings, and doesn't use TETHER_EXPORT.
    set_source_files_properties(${generated} PROPERTIES
      COMPILE_OPTIONS "-w;-fvisibility=default" SKIP_UNITY_BUILD_INCLUSION ON)
    target_sources(${name} PRIVATE ${generated})
    target_include_directories(${name} SYSTEM PUBLIC $<BUILD_INTERFACE:${TETHER_GENERATED_DIR}>)
  endif()

  if(TETHER_INSTALL)
    tether_install_library(${name} "${deps}" "${ARG_HDRS}" "${ARG_PROTOS}" "${ARG_GRPC_PROTOS}")
  endif()

  if(NOT TETHER_BUILD_TESTS OR NOT BUILD_SHARED_LIBS)
    add_library(tether_internal::${name} ALIAS ${name})
    return()
  endif()
  set(internal ${name}_for_tests)
  if(ARG_SRCS)
    add_library(${internal} STATIC $<TARGET_OBJECTS:${name}>)
    set_target_properties(${internal} PROPERTIES LINKER_LANGUAGE CXX)
  else()
    add_library(${internal} INTERFACE)
  endif()
  list(TRANSFORM deps REPLACE "^(tether.*)$" "tether_internal::\\1")
  target_link_libraries(${internal} ${public} ${deps} Threads::Threads)
  target_include_directories(${internal} ${public} ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}/interceptors
    ${PROJECT_SOURCE_DIR}/observability)
  target_include_directories(${internal} SYSTEM ${public} ${TETHER_GENERATED_DIR})
  add_dependencies(${internal} ${name})
  add_library(tether_internal::${name} ALIAS ${internal})
endfunction()

# tether_install_library(NAME DEPS HEADERS PROTOS GRPC_PROTOS): installs the library, its headers, its part of CMake's
# package (tether-config.cmake.in) and its pkg-config file.
function(tether_install_library name deps headers protos grpc_protos)
  string(REGEX REPLACE "^tether_" "" component ${name})
  string(REPLACE "_" "-" file_name ${name})
  set(runtime tether_runtime)
  if(NOT name STREQUAL tether)
    set(runtime ${name}_runtime)
  endif()
  install(TARGETS ${name} EXPORT ${name}-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${runtime} NAMELINK_COMPONENT tether_development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT tether_development
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT ${name}-targets NAMESPACE tether:: FILE tether-${component}.cmake
    DESTINATION ${TETHER_CONFIG_DIR} COMPONENT tether_development)

  foreach(header IN LISTS headers)
    string(REGEX REPLACE "^[^/]*/(.*)$" "\\1" place ${header})
    get_filename_component(place ${place} DIRECTORY)
    install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${place}
      COMPONENT tether_development)
  endforeach()
  if(protos)
    list(POP_FRONT protos prefix)
    foreach(file IN LISTS protos)
      string(REGEX REPLACE "^${prefix}/(.*)\\.proto$" "\\1" stem ${file})
      get_filename_component(place ${stem} DIRECTORY)
      set(files ${PROJECT_SOURCE_DIR}/${file} ${TETHER_GENERATED_DIR}/${stem}.pb.h)
      if(file IN_LIST grpc_protos)
        list(APPEND files ${TETHER_GENERATED_DIR}/${stem}.grpc.pb.h)
      endif()
      install(FILES ${files} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${place} COMPONENT tether_development)
    endforeach()
  endif()

  get_target_property(type ${name} TYPE)
  set(TETHER_PC_LIBS "-L\${libdir} -l${file_name}")
  if(type STREQUAL INTERFACE_LIBRARY)
    set(TETHER_PC_LIBS "")
  endif()
  set(requires)
  foreach(dep IN LISTS deps)
    if(dep STREQUAL "gRPC::grpc++")
      list(APPEND requires "grpc++")
    elseif(dep STREQUAL "protobuf::libprotobuf")
      list(APPEND requires "protobuf")
    elseif(dep STREQUAL "opentelemetry-cpp::api")
      list(APPEND requires "opentelemetry_api")
    elseif(dep STREQUAL "prometheus-cpp::core")
      list(APPEND requires "prometheus-cpp-core")
    elseif(dep STREQUAL "civetweb::civetweb")
      string(APPEND TETHER_PC_LIBS " -lcivetweb")  # it has no pkg-config file
    elseif(dep MATCHES "^absl::(.*)$")
      list(APPEND requires "absl_${CMAKE_MATCH_1}")
    elseif(dep MATCHES "^tether")
      string(REPLACE "_" "-" module ${dep})
      list(APPEND requires "${module} = ${PROJECT_VERSION}")
    else()
      message(FATAL_ERROR "no pkg-config module is known for ${dep}")
    endif()
  endforeach()
  list(JOIN requires ", " TETHER_PC_REQUIRES)
  set(TETHER_PC_NAME ${file_name})
  file(RELATIVE_PATH TETHER_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  string(REGEX REPLACE "/$" "" TETHER_PC_PREFIX ${TETHER_PC_PREFIX})
  file(RELATIVE_PATH TETHER_PC_LIBDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
  file(RELATIVE_PATH TETHER_PC_INCLUDEDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/tether.pc.in ${PROJECT_BINARY_DIR}/pkgconfig/${file_name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/pkgconfig/${file_name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT tether_development)
endfunction()

# A library of the tests, the services or the examples. With ALWAYS_LINK, each program contains all of it.
function(tether_internal_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "ALWAYS_LINK" "PREFIX" "SRCS;DEPS")
  tether_existing(deps ${ARG_DEPS})
  set(public PUBLIC)
  if(NOT ARG_SRCS)
    set(public INTERFACE)
    add_library(${name} INTERFACE)
  elseif(ARG_ALWAYS_LINK)
    add_library(${name} OBJECT ${ARG_SRCS})
  else()
    add_library(${name} STATIC ${ARG_SRCS})
  endif()
  target_include_directories(${name} ${public} ${PROJECT_SOURCE_DIR})
  if(ARG_PREFIX)
    target_include_directories(${name} ${public} ${PROJECT_SOURCE_DIR}/${ARG_PREFIX})
  endif()
  target_link_libraries(${name} ${public} ${deps})
  if(ARG_SRCS)
    tether_compile_options(${name})
  endif()
endfunction()

# A library of the messages of .proto files. With GRPC, a library of their services.
function(tether_proto_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "GRPC" "PREFIX" "SRCS;DEPS")
  tether_generate(generated ${ARG_GRPC} ${ARG_PREFIX} ${ARG_SRCS})
  add_library(${name} STATIC ${generated})
  target_compile_features(${name} PUBLIC cxx_std_17)
  target_compile_options(${name} PRIVATE -w)
  target_include_directories(${name} SYSTEM PUBLIC ${TETHER_GENERATED_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
endfunction()

# Links the files that a test reads into the build folder, where the test runs, under the same paths.
function(tether_data)
  foreach(file IN LISTS ARGN)
    get_filename_component(folder ${PROJECT_BINARY_DIR}/${file} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${file} ${PROJECT_BINARY_DIR}/${file} SYMBOLIC)
  endforeach()
endfunction()

# tether_add_test(NAME TIMEOUT EXCLUSIVE COMMAND...)
# GoogleTest's own name for the file is the program's, which isn't unique.
function(tether_add_test name timeout exclusive)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${timeout} RUN_SERIAL ${exclusive} ENVIRONMENT "GTEST_OUTPUT=xml:${PROJECT_BINARY_DIR}/results/cases/${name}.xml")
endfunction()

# A program, at FOLDER/NAME in the build folder, as with Bazel. With TEST, it is also a test.
function(tether_program name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "TEST;EXCLUSIVE" "FOLDER;NAME;STANDARD;TIMEOUT" "SRCS;DEPS;DATA;PROGRAMS;ARGS")
  tether_existing(deps ${ARG_DEPS})
  if(NOT ARG_SRCS)
    set(ARG_SRCS ${PROJECT_BINARY_DIR}/empty.cc)
    if(NOT EXISTS ${ARG_SRCS})
      file(WRITE ${ARG_SRCS} "")
    endif()
  endif()
  add_executable(${name} ${ARG_SRCS} ${TETHER_PROGRAM_SOURCES})  # presets set these
  set_target_properties(${name} PROPERTIES
    OUTPUT_NAME ${ARG_NAME} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${ARG_FOLDER})
  if(ARG_STANDARD)
    target_compile_features(${name} PRIVATE cxx_std_${ARG_STANDARD})
  endif()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${deps} Threads::Threads)
  tether_compile_options(${name})
  if(ARG_PROGRAMS)
    add_dependencies(${name} ${ARG_PROGRAMS})
  endif()
  tether_data(${ARG_DATA})
  if(ARG_TEST)
    tether_add_test(${ARG_FOLDER}/${ARG_NAME} ${ARG_TIMEOUT} ${ARG_EXCLUSIVE} ${ARG_FOLDER}/${ARG_NAME} ${ARG_ARGS})
  endif()
endfunction()

# A test that runs a script.
function(tether_script_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "EXCLUSIVE" "SCRIPT;TIMEOUT" "DATA;PROGRAMS;ARGS")
  tether_data(${ARG_SCRIPT} ${ARG_DATA})
  tether_add_test(${name} ${ARG_TIMEOUT} ${ARG_EXCLUSIVE} ${PROJECT_BINARY_DIR}/${ARG_SCRIPT} ${ARG_ARGS})
endfunction()
