#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` leaves is enough to build examples/hello.cpp with the static and the shared
# library, by find_package and by pkg-config, also after it was moved. Usage: installed_package.sh ROOT BUILD COMPILER
set -euo pipefail
root=$1 build=$2 compiler=$3

work=$(mktemp -d -t qlcshape-install-XXXXXX)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"
version=$(sed -n 's/.*VERSION_STRING "\(.*\)"/\1/p' "$root/include/qlcshape/version.h")
[ "$("$work/moved/bin/qlcshape" --version)" = "qlcshape $version" ] || fail "the command is of another version"

# needs PROGRAM yes|no: whether it loads the shared library; it runs.
needs() {
    local loads=no
    ! readelf -d "$1" | grep -q 'NEEDED.*libqlcshape\.so' || loads=yes
    [ $loads = "$2" ] || fail "$1 loads the shared library: $loads"
    LD_LIBRARY_PATH=$libraries "$1" | grep -q "hello, flash" || fail "$1 does not run"
}
libraries=$(dirname "$(find "$work/moved" -name libqlcshape.a)")

cat >"$work/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(qlcshape ${version%.*} REQUIRED \${COMPONENTS})
add_executable(hello $root/examples/hello.cpp)
target_link_libraries(hello PRIVATE qlcshape::\${LIBRARY})
if(NOT qlcshape_VERSION STREQUAL "$version" OR ALONE AND TARGET qlcshape::qlcshape)
  message(FATAL_ERROR "version \${qlcshape_VERSION}, or more than was asked for")
endif()
EOF
# consumer NAME LIBRARY OPTION...
consumer() {
    local name=$1 library=$2
    shift 2
    cmake -G Ninja -S "$work" -B "$work/$name" -DCMAKE_PREFIX_PATH="$work/moved" \
        -DCMAKE_CXX_COMPILER="$compiler" -DLIBRARY="$library" "$@" >"$work/log" || { cat "$work/log"; fail "$name"; }
    cmake --build "$work/$name" >"$work/log" || { cat "$work/log"; fail "$name"; }
}
consumer static qlcshape
needs "$work/static/hello" no
consumer shared shared "-DCOMPONENTS=COMPONENTS;shared" -DALONE=ON
needs "$work/shared/hello" yes

PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name qlcshape.pc)")
export PKG_CONFIG_PATH
for package in qlcshape:yes qlcshape-static:no; do
    [ "$(pkg-config --modversion "${package%:*}")" = "$version" ] || fail "${package%:*}.pc is of another version"
    # shellcheck disable=SC2046  # flags are words
    "$compiler" -std=c++23 "$root/examples/hello.cpp" -o "$work/hello" \
        $(pkg-config --cflags --libs "${package%:*}")
    needs "$work/hello" "${package#*:}"
done

# A program of an older language is told what is missing, whichever header it includes.
for header in "$work"/moved/include/qlcshape/*.h; do
    [ "$(basename "$header")" != version.h ] || continue
    ! "$compiler" -std=c++20 -fsyntax-only -I "$work/moved/include" -x c++ "$header" 2>"$work/log" ||
        fail "$header compiles as C++20"
    grep -m1 error: "$work/log" | grep -q "compile with -std=c++23" || { head -3 "$work/log"; fail "$header"; }
done
"$compiler" -std=c++11 -fsyntax-only -x c++ - -include "$work/moved/include/qlcshape/version.h" <<EOF
static_assert(QLCSHAPE_VERSION == QLCSHAPE_VERSION_MAJOR * 10000 + QLCSHAPE_VERSION_MINOR * 100 + QLCSHAPE_VERSION_PATCH, "");
EOF
macros=$(printf '#include <qlcshape/engine.h>\nversion: QLCSHAPE_VERSION_MAJOR QLCSHAPE_VERSION_MINOR QLCSHAPE_VERSION_PATCH\n' |
    "$compiler" -std=c++23 -E -I "$work/moved/include" -x c++ - | sed -n 's/^version: //p' | tr ' ' .)
[ "$macros" = "$version" ] || fail "the macros say $macros, the string $version"
