#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The systemd unit: it parses, serves as its own user, and lets the process have what docs/nbd.md says
# and no more. Usage: systemd_unit.sh ROOT BUILD
set -euo pipefail
source_root=$1 build=$2
work=$(mktemp -d -t qlcshape-unit-XXXXXX)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
DESTDIR=$work cmake --install "$build" --prefix /usr --component command >/dev/null
unit=$(find "$work" -name 'qlcshape@.service')
ublk=$(find "$work" -name 'qlcshape-ublk@.service')

# setting KEY VALUE: the last line of that key.
setting() {
    [ "$(sed -n "s/^$1=//p" "$unit" | tail -1)" = "$2" ] || fail "$1 is not $2"
}
setting ExecStart "/usr/bin/qlcshape serve \${ARRAY} \$OPTIONS"
setting User qlcshape
setting LimitMEMLOCK infinity
setting RuntimeDirectory qlcshape
setting StateDirectory qlcshape
setting DevicePolicy closed
setting NoNewPrivileges yes
setting CapabilityBoundingSet ""
setting ProtectSystem strict
grep -qx "DeviceAllow=block-\* rw" "$unit" || fail "no block devices"
grep -q "^SystemCallFilter=@system-service io_uring_setup io_uring_enter io_uring_register$" "$unit" ||
    fail "no io_uring"
# The command is asked over an abstract Unix socket, in the host's network namespace.
! grep -qE '^(PrivateNetwork|PrivateUsers|PrivateDevices)=yes' "$unit" || fail "nobody could ask it, or no drives"
grep -q '^u qlcshape ' "$work/usr/lib/sysusers.d/qlcshape.conf" || fail "nobody makes the user"
# Block devices: as root, for what the ublk driver asks for and no more.
unit=$ublk
setting ExecStart "/usr/bin/qlcshape serve \${ARRAY} --ublk \$OPTIONS"
setting CapabilityBoundingSet "CAP_SYS_ADMIN CAP_SYS_RESOURCE"
setting DevicePolicy closed
setting NoNewPrivileges yes
setting ProtectSystem strict
for device in "block-\*" char-ublk-char /dev/ublk-control; do
    grep -qx "DeviceAllow=$device rw" "$unit" || fail "no $device"
done
! grep -q "^ProtectKernelTunables=yes" "$unit" || fail "it could not set the devices' time limit"
unit=${ublk/-ublk@/@}

command -v systemd-analyze >/dev/null || { echo "without systemd: only read"; exit 0; }
score=$(systemd-analyze security --offline=true "$unit" | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
grep -q "exposure $score of" "$source_root/docs/nbd.md" || fail "docs/nbd.md does not say: exposure $score of 10"
mkdir "$work/units"
for file in "$unit" "$ublk"; do
    name=$(basename "$file")
    sed "s|^ExecStart=.*|ExecStart=/bin/true|" "$file" >"$work/units/$name"
    systemd-analyze verify --man=no "$work/units/$name" 2>"$work/log" || { cat "$work/log"; fail "verify $name"; }
    ! grep "${name%.service}" "$work/log" || fail "systemd has something against $name"
done
