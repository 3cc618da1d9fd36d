# SPDX-License-Identifier: Apache-2.0
# cmake --install: headers, both libraries, find_package(qlcshape), pkg-config, the command with its
# manual and completion, the NBD plugin, the systemd unit. Each component is a Debian package
# (cmake/package.cmake).
include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qlcshape)

# Two export files: who takes the shared library alone needs nothing of what it uses.
install(TARGETS qlcshape_shared EXPORT qlcshape-shared
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        COMPONENT library NAMELINK_COMPONENT dev)
install(TARGETS qlcshape_static EXPORT qlcshape-static
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
# CMake strips programs and shared libraries alone.
install(CODE "if(CMAKE_INSTALL_DO_STRIP)
    execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libqlcshape.a\"
      COMMAND_ERROR_IS_FATAL ANY)
  endif()" COMPONENT dev)
install(DIRECTORY include/qlcshape DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
        FILES_MATCHING PATTERN "*.h")
foreach(kind shared static)
  install(EXPORT qlcshape-${kind} NAMESPACE qlcshape:: FILE qlcshape-${kind}-targets.cmake
          DESTINATION ${config_dir} COMPONENT dev)
endforeach()

configure_package_config_file(cmake/qlcshape-config.cmake.in qlcshape-config.cmake
                              INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(qlcshape-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qlcshape-config.cmake
              ${PROJECT_BINARY_DIR}/qlcshape-config-version.cmake
        DESTINATION ${config_dir} COMPONENT dev)

# Relative, so that the installed tree can be moved.
file(RELATIVE_PATH PC_PREFIX_FROM_HERE
     ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
foreach(pc qlcshape qlcshape-static)
  configure_file(cmake/${pc}.pc.in ${pc}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endforeach()

if(TARGET qlcshape)
  install(TARGETS qlcshape RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  install(FILES man/qlcshape.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
  install(FILES man/qlcshape-array.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT command)
  install(FILES tools/completion.bash RENAME qlcshape
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT command)
endif()
if(TARGET nbdkit_qlcshape)
  install(TARGETS nbdkit_qlcshape LIBRARY DESTINATION ${QLCSHAPE_PLUGIN_DIR} COMPONENT plugin)
  install(FILES man/nbdkit-qlcshape-plugin.1
          DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT plugin)
  # The path of the command in the unit is the one it is installed under, so at install time.
  install(CODE "set(CMAKE_INSTALL_FULL_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    foreach(unit qlcshape qlcshape-ublk)
      configure_file(\"${PROJECT_SOURCE_DIR}/plugins/\${unit}@.service.in\"
                     \"${PROJECT_BINARY_DIR}/\${unit}@.service\" @ONLY)
    endforeach()" COMPONENT command)
  install(FILES ${PROJECT_BINARY_DIR}/qlcshape@.service
                ${PROJECT_BINARY_DIR}/qlcshape-ublk@.service
          DESTINATION lib/systemd/system COMPONENT command)
  install(FILES plugins/qlcshape.sysusers RENAME qlcshape.conf
          DESTINATION lib/sysusers.d COMPONENT command)
endif()
