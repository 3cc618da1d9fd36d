# SPDX-License-Identifier: Apache-2.0
# `cpack` in a build folder makes Debian packages of what `cmake --install` installs, one of each
# component. Like that it takes what has been built, and builds nothing.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME qlcshape)
set(CPACK_PACKAGE_CONTACT "the qlcshape authors <qlcshape@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
get_cmake_property(CPACK_COMPONENTS_ALL COMPONENTS)

# Debian names a library's package after its soname.
set(library libqlcshape${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "${PROJECT_DESCRIPTION}: the shared library")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libqlcshape-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
# Programs that link the static library link these too.
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
    "${library} (= ${PROJECT_VERSION}), libfmt-dev, liburing-dev, libisal-dev")
set(CPACK_COMPONENT_DEV_DESCRIPTION "${PROJECT_DESCRIPTION}: headers and the static library")

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME qlcshape)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_COMMAND_PACKAGE_RECOMMENDS nbdkit-plugin-qlcshape)
set(CPACK_DEBIAN_COMMAND_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/plugins/postinst)
set(CPACK_COMPONENT_COMMAND_DESCRIPTION "${PROJECT_DESCRIPTION}: the command")

set(CPACK_DEBIAN_PLUGIN_PACKAGE_NAME nbdkit-plugin-qlcshape)
set(CPACK_DEBIAN_PLUGIN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PLUGIN_PACKAGE_DEPENDS nbdkit)
set(CPACK_COMPONENT_PLUGIN_DESCRIPTION "${PROJECT_DESCRIPTION}: volumes over NBD")

set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
foreach(component COMMAND LIBRARY DEV PLUGIN)
  string(TOLOWER ${component} name)
  install(FILES cmake/copyright COMPONENT ${name}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${component}_PACKAGE_NAME})
endforeach()
include(CPack)
