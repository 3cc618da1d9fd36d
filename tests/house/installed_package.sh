#!/usr/bin/env bash
# What `cmake --install` leaves is enough to build examples/hello.cpp, by find_package and by
# pkg-config, also after it was moved. Usage: installed_package.sh ROOT BUILD COMPILER
set -euo pipefail
root=$1 build=$2 compiler=$3
[ -e "$root/examples/hello.cpp" ] || { echo "no examples/hello.cpp yet"; exit 77; }

work=$(mktemp -d -t qlcshape-install-XXXXXX)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"
"$work/moved/bin/qlcshape" --help >/dev/null

cat >"$work/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(qlcshape REQUIRED)
add_executable(hello $root/examples/hello.cpp)
target_link_libraries(hello PRIVATE qlcshape::qlcshape)
EOF
cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/moved" \
    -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$work/build"

PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name qlcshape.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # flags are words
"$compiler" -std=c++23 "$root/examples/hello.cpp" -o "$work/hello" \
    $(pkg-config --cflags --libs qlcshape)
