# SPDX-License-Identifier: Apache-2.0
# qs_catch_tests(unit) makes unit_tests of the folder's *_test.cpp and one ctest, labelled `unit`, of
# each TEST_CASE. LIBRARIES: what they test in addition to the engine. WITHOUT: files that are no
# part of it.
find_package(Catch2 2.13 REQUIRED)
include(Catch)

# Catch's own main takes longer to compile than most tests: once for all.
if(NOT TARGET qs_catch_main)
  add_library(qs_catch_main OBJECT ${PROJECT_SOURCE_DIR}/tests/unit/main.cpp)
  target_compile_options(qs_catch_main PRIVATE -O0)
  target_link_libraries(qs_catch_main PUBLIC Catch2::Catch2)
endif()

function(qs_catch_tests label)
  cmake_parse_arguments(TESTS "" "TIMEOUT" "LIBRARIES;WITHOUT" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *_test.cpp)
  list(REMOVE_ITEM sources ${TESTS_WITHOUT})
  if(NOT sources)
    add_custom_target(${label}_tests)
    return()
  endif()
  # Where several sources are compiled as one it is those with one initial: a new one changes little.
  foreach(source ${sources})
    cmake_path(GET source STEM name)
    string(SUBSTRING ${name} 0 1 initial)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${initial})
  endforeach()
  add_executable(${label}_tests ${sources})
  set_target_properties(${label}_tests PROPERTIES UNITY_BUILD_MODE GROUP)
  target_link_libraries(${label}_tests PRIVATE qs_internal qs_catch_main ${TESTS_LIBRARIES})
  if(TARGET qs_inplace)
    target_link_libraries(${label}_tests PRIVATE qs_inplace)
  endif()
  set_target_properties(${label}_tests PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  catch_discover_tests(${label}_tests
    # Catch succeeds if a name matches no test case, as one with a semicolon does not.
    EXTRA_ARGS --warn NoTests
    TEST_PREFIX "${label}/"
    PROPERTIES LABELS ${label} TIMEOUT ${TESTS_TIMEOUT})
endfunction()
