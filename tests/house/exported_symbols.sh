#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Both libraries show the public API and nothing else, and the plugin what nbdkit asks for. Every
# function that a public header marks is there. Usage: exported_symbols.sh BUILD
set -euo pipefail
build=$1
work=$(mktemp -d -t qlcshape-symbols-XXXXXX)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

# Constructors and destructors have one name for two symbols.
nm -g --defined-only "$build/libqlcshape.a" | sed -n 's/^[0-9a-f]* . //p' | c++filt | sort -u >"$work/static"
nm -D --defined-only "$build/libqlcshape.so" | sed -n 's/^[0-9a-f]* . //p' | c++filt | sort -u >"$work/shared"
diff "$work/static" "$work/shared" || fail "the static library (<) and the shared one (>) differ"

sed 's/[(\[].*//' "$work/static" | sort -u >"$work/names"
grep -vE '^qlcshape::((Engine|Volume|Options)::~?[A-Za-z_]+|parse_size|to_string|to_prometheus)$' "$work/names" \
    >"$work/strange" || true
[ ! -s "$work/strange" ] || fail "not of the API: $(cat "$work/strange")"
for name in Engine::create Engine::open Engine::close Engine::~Engine Engine::open_volume Engine::stats \
    Engine::check Engine::inspect Volume::read Volume::write Volume::submit Options::from_file \
    Options::on_memory parse_size to_string to_prometheus; do
    grep -qx "qlcshape::$name" "$work/names" || fail "qlcshape::$name is not exported"
done

version=$(sed -n 's/.*VERSION_STRING "\(.*\)"/\1/p' "$(dirname "$0")/../../include/qlcshape/version.h")
readelf -d "$build/libqlcshape.so" | grep -q "soname: \[libqlcshape.so.${version%.*}\]" ||
    fail "the shared library's soname is not libqlcshape.so.${version%.*}"
plugin=$(nm -D --defined-only "$build/nbdkit-qlcshape-plugin.so" | awk '{print $3}')
[ "$plugin" = plugin_init ] || fail "the plugin shows more than plugin_init: $plugin"
echo "$(wc -l <"$work/static") functions"
