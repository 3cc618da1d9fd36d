#!/usr/bin/env bash
# The Debian package installs into an empty root, works there, and leaves nothing when it is removed.
# Usage: debian_package.sh BUILD
set -euo pipefail
build=$1
[ "$(id -u)" -eq 0 ] || { echo "SKIPPED: dpkg installs only as root"; exit 77; }
work=$(mktemp -d -t qlcshape-deb-XXXXXX)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

cpack --config "$build/CPackConfig.cmake" -B "$work/cpack" >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "cpack"; }
package=$(echo "$work"/cpack/*.deb)
for library in libfmt libisal liburing libc6; do
    dpkg-deb --field "$package" Depends | grep -q "$library" || fail "it does not depend on $library"
done

mkdir -p "$work/root/var/lib/dpkg/info" "$work/root/var/lib/dpkg/updates"
touch "$work/root/var/lib/dpkg/status"
dpkg_here() { dpkg --root="$work/root" --log="$work/dpkg.log" --force-depends "$@" >"$work/log" 2>&1; }
dpkg_here -i "$package" || { cat "$work/log"; fail "dpkg -i"; }
"$work/root/usr/bin/qlcshape" --help >/dev/null
for file in share/man/man1/qlcshape.1 share/man/man5/qlcshape-array.5 include/qlcshape/engine.h \
    share/bash-completion/completions/qlcshape share/man/man1/nbdkit-qlcshape-plugin.1 \
    lib/systemd/system/qlcshape@.service; do
    [ -s "$work/root/usr/$file" ] || fail "no $file"
done
[ -n "$(find "$work/root/usr" -name libqlcshape.a)" ] || fail "no library"
grep -q "^ExecStart=/usr/bin/qlcshape serve " "$work/root/usr/lib/systemd/system/qlcshape@.service" ||
    fail "the systemd unit starts another command"
# The command finds its plugin, and the plugin loads.
printf '[array]\ndata_strips = 2\n' >"$work/none.toml"
code=0
"$work/root/usr/bin/qlcshape" serve "$work/none.toml" --volume v --socket "$work/s" >"$work/log" 2>&1 || code=$?
{ [ $code -eq 2 ] && grep -q none.toml "$work/log"; } || { cat "$work/log"; fail "serve: exit $code"; }
nbdkit --dump-plugin "$(find "$work/root/usr" -name nbdkit-qlcshape-plugin.so)" >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "the plugin does not load"; }
dpkg_here --purge qlcshape || { cat "$work/log"; fail "dpkg --purge"; }
left=$(find "$work/root" -path "$work/root/var/lib/dpkg" -prune -o -type f -print)
[ -z "$left" ] || fail "left behind: $left"
