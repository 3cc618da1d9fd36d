# `cpack` in a build folder makes a Debian package of what `cmake --install` installs. Like that it
# takes what has been built, and builds nothing.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME qlcshape)
set(CPACK_PACKAGE_CONTACT "the qlcshape developers <qlcshape@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Programs that link the static library link these too.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libfmt-dev, liburing-dev, libisal-dev")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS nbdkit)
include(CPack)
