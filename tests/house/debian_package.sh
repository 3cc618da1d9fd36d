#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages install into an empty root, work there, and leave nothing when they are removed.
# Usage: debian_package.sh ROOT BUILD COMPILER
set -euo pipefail
source_root=$1 build=$2 compiler=$3
[ "$(id -u)" -eq 0 ] || { echo "SKIPPED: dpkg installs only as root"; exit 77; }
work=$(mktemp -d -t qlcshape-deb-XXXXXX)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

cpack --config "$build/CPackConfig.cmake" -B "$work/cpack" >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "cpack"; }
version=$(sed -n 's/.*VERSION_STRING "\(.*\)"/\1/p' "$source_root/include/qlcshape/version.h")
library=libqlcshape${version%.*}
packages=(libqlcshape-dev "$library" nbdkit-plugin-qlcshape qlcshape)
mv "$work"/cpack/*.deb "$work"
[ "$(cd "$work" && echo *.deb | sed 's/_[^ ]*//g')" = "${packages[*]}" ] || fail "packages: $(cd "$work" && echo *.deb)"
# field PACKAGE FIELD TEXT...
field() {
    local package=$1 field=$2
    shift 2
    for text in "$@"; do
        dpkg-deb --field "$(echo "$work/${package}_"*.deb)" "$field" | grep -qF -- "$text" ||
            fail "$package: $field without $text"
    done
}
for package in "$library" nbdkit-plugin-qlcshape qlcshape; do
    field "$package" Depends libfmt libisal liburing libc6
    field "$package" Version "$version"
done
field libqlcshape-dev Depends "$library (= $version)" libfmt-dev liburing-dev libisal-dev
field nbdkit-plugin-qlcshape Depends nbdkit
field qlcshape Recommends nbdkit-plugin-qlcshape
dpkg-deb --info "$(echo "$work/${library}_"*.deb)" shlibs | grep -qx "libqlcshape ${version%.*} $library.*" ||
    fail "$library: other packages would not depend on it"

root=$work/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
touch "$root/var/lib/dpkg/status"
dpkg_here() {
    dpkg --root="$root" --log="$work/dpkg.log" --force-depends --force-script-chrootless "$@" >"$work/log" 2>&1 ||
        { cat "$work/log"; fail "dpkg $*"; }
}
if command -v systemd-sysusers >/dev/null; then # which reads the group disk
    mkdir "$root/etc"
    printf 'disk:x:6:\n' >"$root/etc/group"
fi
dpkg_here -i "$work"/*.deb
has() {
    for file in "$@"; do [ -s "$root/usr/$file" ] || fail "no /usr/$file"; done
}
has share/man/man1/qlcshape.1 share/man/man5/qlcshape-array.5 share/bash-completion/completions/qlcshape \
    share/man/man1/nbdkit-qlcshape-plugin.1 lib/systemd/system/qlcshape@.service include/qlcshape/engine.h
for package in "${packages[@]}"; do has "share/doc/$package/copyright"; done
grep -q "^ExecStart=/usr/bin/qlcshape serve " "$root/usr/lib/systemd/system/qlcshape@.service" ||
    fail "the systemd unit starts another command"
if command -v systemd-sysusers >/dev/null; then
    grep -q ^qlcshape: "$root/etc/passwd" || fail "no user for the unit"
    grep -q '^disk:.*qlcshape' "$root/etc/group" || fail "the unit's user can't open drives"
fi

# Stripped.
shared=$(find "$root/usr" -name "libqlcshape.so.$version")
plugin=$(find "$root/usr" -name nbdkit-qlcshape-plugin.so)
for file in "$root/usr/bin/qlcshape" "$shared" "$plugin" "$(find "$root/usr" -name libqlcshape.a)"; do
    ! readelf -S "$file" | grep -q '\.debug_info' || fail "$file is not stripped"
done
[ "$(stat -c %s "$root/usr/bin/qlcshape")" -lt 10000000 ] || fail "the command is large"

# A command that serves: it finds the plugin, which lies where this machine's nbdkit looks for it.
[ "$plugin" = "$root$(nbdkit --dump-config | sed -n 's/^plugindir=//p')/nbdkit-qlcshape-plugin.so" ] ||
    fail "nbdkit does not find the plugin in $plugin"
cd "$work"
{
    printf '[array]\ndata_strips = 2\nstrip = "64KiB"\nband = "512KiB"\n'
    for device in qlc0 qlc1 qlc2 qlc3 scm0 scm1; do
        printf '[[device]]\nrole = "%s"\npath = "%s.img"\nsize = "24MiB"\n' "${device%?}" $device
    done
} >array.toml
qlcshape=$root/usr/bin/qlcshape
[ "$("$qlcshape" --version)" = "qlcshape $version" ] || fail "the command is of another version"
"$qlcshape" create array.toml >/dev/null
"$qlcshape" volume create array.toml v0 --size 4MiB >/dev/null
"$qlcshape" serve array.toml --volume v0 --socket s.sock >uri 2>err & server=$!
for _ in {1..600}; do
    [ ! -s uri ] || break
    kill -0 $server 2>/dev/null || { cat err; fail "serve ended"; }
    sleep 0.1
done
! grep -q "$build" "/proc/$(pgrep -P $server nbdkit)/maps" || fail "serve took the plugin of the build"
[ "$(nbdinfo --size "$(cat uri)")" = 4194304 ] || fail "nbdinfo"
kill $server
wait $server || fail "serve: exit $?"
mv "$plugin" "$plugin.away"
code=0
"$qlcshape" serve array.toml --volume v0 --socket s.sock >uri 2>err || code=$?
{ [ $code -eq 2 ] && grep -q nbdkit-plugin-qlcshape err; } || { cat err; fail "serve without the plugin: exit $code"; }
mv "$plugin.away" "$plugin"

# A program that is built with the one and runs with the other package.
flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$root/usr" -name qlcshape.pc)") pkg-config --cflags --libs qlcshape)
# shellcheck disable=SC2086  # flags are words
"$compiler" -std=c++23 "$source_root/examples/hello.cpp" -o hello $flags
LD_LIBRARY_PATH=$(dirname "$shared") ./hello | grep -q "hello, flash" || fail "hello"

dpkg_here --purge "${packages[@]}"
left=$(find "$root" \( -path "$root/var/lib/dpkg" -o -path "$root/etc" \) -prune -o -type f -print)
[ -z "$left" ] || fail "left behind: $left"
