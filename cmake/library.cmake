# SPDX-License-Identifier: Apache-2.0
# What users link, of the objects of all folders: a shared library, and a static one that shows no
# more than the shared one does. The name `qlcshape` alone is left to the command, whose file would
# otherwise clash with a target of that name in Ninja.
get_property(folders GLOBAL PROPERTY QLCSHAPE_FOLDERS)
set(objects)
foreach(folder ${folders})
  get_target_property(type ${folder} TYPE)
  if(type STREQUAL "OBJECT_LIBRARY")
    list(APPEND objects $<TARGET_OBJECTS:${folder}>)
  endif()
endforeach()

# For our own programs and tests, which may look behind the public headers.
add_library(qs_everything STATIC ${objects})

# The archive's only object: what is not public becomes local to it. Groups of sections that other
# objects may have too would drag its local symbols away with them, so they are dissolved.
# By GNU binutils, whatever the compiler links with.
find_program(QLCSHAPE_LD ld.bfd REQUIRED)
find_program(QLCSHAPE_OBJCOPY objcopy REQUIRED)
set(public_object ${PROJECT_BINARY_DIR}/qlcshape-public.o)
add_custom_command(OUTPUT ${public_object}
  COMMAND ${QLCSHAPE_LD} -r --force-group-allocation -o ${public_object}
          --whole-archive $<TARGET_FILE:qs_everything>
  COMMAND ${QLCSHAPE_OBJCOPY} --localize-hidden --wildcard
          --keep-global-symbol=_ZN8qlcshape* --keep-global-symbol=_ZNK8qlcshape* ${public_object}
  DEPENDS qs_everything VERBATIM)
add_library(qlcshape_static STATIC ${public_object})
set_target_properties(qlcshape_static PROPERTIES LINKER_LANGUAGE CXX EXPORT_NAME qlcshape)
add_library(qlcshape::qlcshape ALIAS qlcshape_static)

# Before 1.0 each minor version has a soname of its own.
set(exports ${PROJECT_SOURCE_DIR}/cmake/exports.map)
add_library(qlcshape_shared SHARED ${objects})
set_target_properties(qlcshape_shared PROPERTIES
  EXPORT_NAME shared VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} LINK_DEPENDS ${exports})
target_link_options(qlcshape_shared PRIVATE -Wl,--version-script=${exports})
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=") # its run-time comes with the program
  target_link_options(qlcshape_shared PRIVATE -Wl,-z,defs)
endif()
add_library(qlcshape::shared ALIAS qlcshape_shared)

foreach(library qlcshape_static qlcshape_shared)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME qlcshape)
  target_include_directories(${library} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${library} PUBLIC cxx_std_23)
  # Boost, toml++ and nlohmann/json are headers that our sources have used up by then: users don't
  # need them.
  target_link_libraries(${library} PRIVATE
    fmt::fmt PkgConfig::liburing PkgConfig::libisal Threads::Threads)
endforeach()

add_library(qs_internal INTERFACE)
target_include_directories(qs_internal INTERFACE
  ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_link_libraries(qs_internal INTERFACE qs_everything qs_options
  fmt::fmt Boost::headers PkgConfig::liburing PkgConfig::libisal Threads::Threads)
