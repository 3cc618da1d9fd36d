# SPDX-License-Identifier: Apache-2.0
# How every target of ours is compiled, and the one function that declares a folder of src/.

add_library(qs_options INTERFACE)
target_compile_options(qs_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  # Clang counts sign conversions as -Wconversion, GCC in C++ does not: one rule for both.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>
  # The archive also goes into plugins, so it is position independent; nobody replaces our symbols
  # at load time, and saying so gives the inlining back.
  -fno-semantic-interposition
  # Symbols that are unique in a process can't be made local (cmake/library.cmake).
  $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# But for what QLCSHAPE_API marks in the public headers.
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

# GCC 12 has false alarms of these kinds when sanitizers have rewritten the code.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  target_compile_options(qs_options INTERFACE
    -Wno-error=maybe-uninitialized -Wno-error=restrict -Wno-error=nonnull
    -Wno-error=stringop-overflow -Wno-error=stringop-overread -Wno-error=array-bounds
    -Wno-tsan)
endif()

# qs_folder(segment DEPENDS raid6 band pmt LIBRARIES PkgConfig::libisal)
#
# Declares qs_segment from the sources of the current folder. Folders are OBJECT libraries, so that
# all of them fold into one libqlcshape.a (cmake/library.cmake); a folder of headers is an INTERFACE.
function(qs_folder name)
  cmake_parse_arguments(FOLDER "" "" "DEPENDS;LIBRARIES" ${ARGN})
  list(TRANSFORM FOLDER_DEPENDS PREPEND qs_)
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  if(sources)
    add_library(qs_${name} OBJECT ${sources})
    target_link_libraries(qs_${name} PRIVATE qs_options)
    set(scope PUBLIC)
  else()
    add_library(qs_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(qs_${name} ${scope}
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(qs_${name} ${scope} ${FOLDER_DEPENDS} ${FOLDER_LIBRARIES})
  set_property(GLOBAL APPEND PROPERTY QLCSHAPE_FOLDERS qs_${name})
endfunction()
