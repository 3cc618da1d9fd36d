# The one library users link: every folder's objects in build/<preset>/libqlcshape.a. The name
# `qlcshape` alone is left to the command, whose file would else clash with this target in Ninja.
get_property(folders GLOBAL PROPERTY QLCSHAPE_FOLDERS)
add_library(qlcshape_library STATIC)
add_library(qlcshape::qlcshape ALIAS qlcshape_library)
set_target_properties(qlcshape_library PROPERTIES OUTPUT_NAME qlcshape EXPORT_NAME qlcshape)
foreach(folder ${folders})
  get_target_property(type ${folder} TYPE)
  if(type STREQUAL "OBJECT_LIBRARY")
    target_sources(qlcshape_library PRIVATE $<TARGET_OBJECTS:${folder}>)
  endif()
endforeach()
target_include_directories(qlcshape_library PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(qlcshape_library PUBLIC cxx_std_23)
# Boost, toml++ and nlohmann/json are headers that our sources have used up by then: users don't
# need them.
target_link_libraries(qlcshape_library PRIVATE
  fmt::fmt PkgConfig::liburing PkgConfig::libisal Threads::Threads)

# For our own programs and tests, which may look behind the public headers.
add_library(qs_internal INTERFACE)
target_include_directories(qs_internal INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_link_libraries(qs_internal INTERFACE qlcshape::qlcshape qs_options
  fmt::fmt Boost::headers PkgConfig::liburing PkgConfig::libisal Threads::Threads)
