# cmake --install: headers, library, find_package(qlcshape), pkg-config, the command with its manual
# and completion.
include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qlcshape)

install(TARGETS qlcshape_library EXPORT qlcshape ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/qlcshape DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(EXPORT qlcshape NAMESPACE qlcshape:: FILE qlcshape-targets.cmake DESTINATION ${config_dir})

configure_package_config_file(cmake/qlcshape-config.cmake.in qlcshape-config.cmake
                              INSTALL_DESTINATION ${config_dir})
# Before 1.0 a new minor version may change the API.
write_basic_package_version_file(qlcshape-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qlcshape-config.cmake
              ${PROJECT_BINARY_DIR}/qlcshape-config-version.cmake
        DESTINATION ${config_dir})

# Relative, so that the installed tree can be moved.
file(RELATIVE_PATH PC_PREFIX_FROM_HERE
     ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/qlcshape.pc.in qlcshape.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qlcshape.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET qlcshape)
  install(TARGETS qlcshape RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES man/qlcshape.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES man/qlcshape-array.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
  install(FILES tools/completion.bash RENAME qlcshape
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
if(TARGET nbdkit_qlcshape)
  install(TARGETS nbdkit_qlcshape LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/nbdkit/plugins)
  install(FILES man/nbdkit-qlcshape-plugin.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  # The path of the command in the unit is the one it is installed under, so at install time.
  install(CODE "set(CMAKE_INSTALL_FULL_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    configure_file(\"${PROJECT_SOURCE_DIR}/plugins/qlcshape@.service.in\"
                   \"${PROJECT_BINARY_DIR}/qlcshape@.service\" @ONLY)")
  install(FILES ${PROJECT_BINARY_DIR}/qlcshape@.service DESTINATION lib/systemd/system)
endif()
